/*
 * System calls that fail: the C library's functions of that name, for the whole process with
 * its libraries, stand in faults.c, and any call by its number has an error of the test's
 * choice, or takes and gives less than it was asked for.
 *
 * Only what concerns the victim is counted and fails: descriptors that were made while
 * faults_mark was on, and calls that make one.
 */
#ifndef TESTS_FAILS_FAULTS_H
#define TESTS_FAILS_FAULTS_H

#include <stdbool.h>

typedef enum fault_call {
  CALL_SOCKET,
  CALL_BIND,
  CALL_LISTEN,
  CALL_ACCEPT4,
  CALL_CONNECT,
  CALL_RECV,
  CALL_RECVFROM,
  CALL_RECVMSG,
  CALL_SEND,
  CALL_SENDTO,
  CALL_SENDMSG,
  CALL_READ,
  CALL_GETSOCKOPT,
  CALL_SETSOCKOPT,
  CALL_GETSOCKNAME,
  CALL_GETPEERNAME,
  CALL_SHUTDOWN,
  CALL_IOCTL,
  CALL_FCNTL,
  CALL_OPEN,
  CALL_FSTAT,
  CALL_LSTAT,
  CALL_CHMOD,
  CALL_UNLINK,
  CALL_CLOSE, /* closes, and says that it did not */
  CALL_POLL,
  CALL_PIPE2,
  CALL_EVENTFD,
  CALL_EPOLL_CREATE1,
  CALL_EPOLL_CTL,  /* the first of a descriptor: libuv tries, and aborts when a later one fails */
  CALL_EPOLL_WAIT, /* libuv aborts on anything but EINTR */
  CALL_PTHREAD_CREATE,
  CALL_KINDS
} fault_call;

extern const char *const fault_names[CALL_KINDS];

enum { FAULT_SHORT = -1, FAULT_EVER = 1 << 30 };

/* From now on the n-th call of this kind fails with `err`, or is FAULT_SHORT: one byte at most;
 * and so do those that follow it, `times` in all. With n 0 calls are counted only. */
void faults_arm(fault_call call, int err, long n, long times);
void faults_disarm(void);
/* Has a call failed since? */
bool faults_struck(void);
/* How many calls of this kind there were since faults_arm. */
long faults_counted(fault_call call);

/* While it is on, new descriptors are the victim's. */
void faults_mark(bool on);
/* While it is on nothing fails, nothing is counted or marked. */
void faults_pause(bool on);

#endif
