/* What the parts of chatd share: one of these per process. */
#ifndef CHATD_CHATD_H
#define CHATD_CHATD_H

#include "desk.h"
#include "hub.h"
#include "keys.h"
#include "sessions.h"
#include "throttle.h"

#include <caw/server.h>
#include <pthread.h>

struct chatd {
  desk *desk;
  pthread_mutex_t keys_lock;
  keys_pool *keys; /* under the lock; NULL: the server has ended */
  hub *hub;
  sessions *sessions;
  throttle *throttle;
  bool closed;          /* strangers cannot register */
  int64_t session_life; /* microseconds that a session lasts unless it is used */
  int64_t stall;        /* microseconds that a reader may take nothing */
};

#endif
