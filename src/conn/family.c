/*
 * Calls made on behalf of another call: the cancellation of the parent cancels
 * its children, which may live on other loops. The links are guarded by a lock
 * that is chosen by the parent's address, so that unrelated calls rarely meet.
 */
#include "conn/call.h"

#include <pthread.h>

#define LOCKS 16
#define LOCK                                                                                       \
  { PTHREAD_MUTEX_INITIALIZER }
static struct {
  pthread_mutex_t mutex;
} locks[LOCKS] = {LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK,
                  LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK};

static pthread_mutex_t *lock_of(const caw_call *parent) {
  return &locks[(uintptr_t)parent / sizeof(caw_call) % LOCKS].mutex;
}

void call_adopt(caw_call *parent, caw_call *child) {
  child->parent = caw_call_ref(parent);
  pthread_mutex_lock(lock_of(parent));
  list_push_back(&parent->children, &child->sibling);
  pthread_mutex_unlock(lock_of(parent));
  /* A cancellation that came before the link was there has told nobody. */
  if (call_has(parent, CALL_CANCELLED)) caw_call_cancel(child);
}

void call_leave_parent(caw_call *child) {
  caw_call *parent = child->parent;
  if (!parent) return;
  pthread_mutex_lock(lock_of(parent));
  list_remove(&child->sibling);
  pthread_mutex_unlock(lock_of(parent));
  child->parent = NULL;
  caw_call_unref(parent);
}

/* Takes one child out of the list, with a reference: a child in the list has
 * not left its loop yet, so it is alive. */
static caw_call *take_child(caw_call *parent) {
  pthread_mutex_lock(lock_of(parent));
  list *l = list_pop(&parent->children);
  caw_call *child = l ? caw_call_ref(LIST_ENTRY(l, caw_call, sibling)) : NULL;
  pthread_mutex_unlock(lock_of(parent));
  return child;
}

void call_cancel_children(caw_call *parent) {
  caw_call *child;
  /* No lock is held while a child is told: it may take one of these locks. */
  while ((child = take_child(parent))) {
    caw_call_cancel(child);
    caw_call_unref(child);
  }
}
