/* The numbers of numbers.h. */
#include "numbers.h"

void numbers_write(caw_metrics_page *page, void *user) {
  const struct chatd *app = user;
  desk_numbers d;
  desk_look(app->desk, &d);
  caw_metrics_gauge(page, "chatd_streams", "Streams that are open: Subscribe, ReadAll, Chat.", NULL,
                    NULL, (double)hub_streams(app->hub));
  caw_metrics_gauge(page, "chatd_writer_queue", "Jobs that wait for the writer.", NULL, NULL,
                    (double)d.waiting);
  caw_metrics_gauge(page, "chatd_writer_fine",
                    "1: messages are taken; 0: the disk is full, or has failed.", NULL, NULL,
                    d.state == DESK_FINE);
  caw_metrics_counter(page, "chatd_writer_turns_total", "Transactions that are durable.", NULL,
                      NULL, d.turns);
  caw_metrics_counter(page, "chatd_writer_jobs_total", "Jobs in them, each acknowledged.", NULL,
                      NULL, d.jobs);
  caw_metrics_counter(page, "chatd_writer_refused_total", "Jobs that the full queue did not take.",
                      NULL, NULL, d.refused);
}
