/* What chatd says of itself among its metrics (--metrics). */
#ifndef CHATD_NUMBERS_H
#define CHATD_NUMBERS_H

#include "chatd.h"

#include <caw/metrics.h>

/* For caw_metrics_add_source; `user` is the chatd. */
void numbers_write(caw_metrics_page *page, void *user);

#endif
