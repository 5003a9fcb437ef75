/*
 * The door: an interceptor that asks every call for its token, finds out whose it is, and
 * lets it in when the table of methods.h says so. What is in no table is refused.
 */
#ifndef CHATD_ACCESS_H
#define CHATD_ACCESS_H

#include "task.h"

#include <caw/interceptor.h>

/* Its user is the chatd. */
extern const caw_interceptor access_interceptor;

/* Who calls; nobody (all zero) where no token is needed. In the call's arena. */
const caller *caller_of(const caw_call *call);

#endif
