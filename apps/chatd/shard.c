/* A loop's side of the hub: when it looks at what came, and in which order. */
#include "asked.h"
#include "feed_inner.h"

#include <caw/alloc.h>

static void end_all(shard *s) {
  size_t at = 0;
  feed **head;
  while ((head = idmap_next(&s->users, &at)))
    for (feed *st = *head; st; st = st->next_of_user)
      feed_end(st, CAW_UNAVAILABLE, NULL, "the server is out of memory; subscribe again");
}

static void flush_acked(feed *acked) {
  while (acked) {
    feed *st = acked;
    pthread_mutex_lock(&st->shard->hub->lock);
    acked = st->next_acked;
    st->acking = false;
    pthread_mutex_unlock(&st->shard->hub->lock);
    if (!st->at_full) st->flush(st);
    feed_unref(st);
  }
}

static void take_notices(shard *s, notice *n) {
  while (n) {
    notice *next = n->next;
    n->tell(s, n);
    caw_free(n);
    n = next;
  }
}

void shard_turn(shard *s) {
  int64_t dirty[64];
  size_t n = 0;
  pthread_mutex_lock(&s->hub->lock);
  s->posted = false;
  bool confused = s->confused;
  s->confused = false;
  notice *notices = s->notices;
  s->notices = NULL;
  s->notices_end = &s->notices;
  errand *back = s->back;
  s->back = NULL;
  s->back_end = &s->back;
  feed *acked = s->acked;
  s->acked = NULL;
  for (; s->dirty && n < sizeof(dirty) / sizeof(dirty[0]); n++) {
    place *p = s->dirty;
    dirty[n] = p->room->id;
    place_clean(p);
  }
  if (s->dirty) shard_wake(s);
  pthread_mutex_unlock(&s->hub->lock);

  flush_acked(acked);
  for (size_t i = 0; i < n; i++) feed_turn_place(s, dirty[i]);
  take_notices(s, notices);
  while (back) {
    errand *e = back;
    back = e->next;
    e->back(e);
  }
  feed_hungry(s);
  if (confused) end_all(s);
}

/* ---- What comes back from the desk ---- */

static void errand_done(desk_job *job, int rc) {
  errand *e = (errand *)job;
  shard *s = e->stream->shard;
  e->rc = rc;
  e->next = NULL;
  pthread_mutex_lock(&s->hub->lock);
  *s->back_end = e;
  s->back_end = &e->next;
  shard_wake(s);
  pthread_mutex_unlock(&s->hub->lock);
}

int errand_send(errand *e, feed *st, int (*work)(desk_job *job, store *s),
                void (*back)(errand *e)) {
  e->job.work = work;
  e->job.done = errand_done;
  e->stream = feed_ref(st);
  e->back = back;
  int rc = desk_read(st->app->desk, &e->job);
  if (rc) feed_unref(st);
  return rc;
}

void feed_acked(feed *st) {
  shard *s = st->shard;
  pthread_mutex_lock(&s->hub->lock);
  if (!st->acking) {
    st->acking = true;
    feed_ref(st);
    st->next_acked = s->acked;
    s->acked = st;
  }
  shard_wake(s);
  pthread_mutex_unlock(&s->hub->lock);
}

/* ---- The end ---- */

void shard_free(shard *s) {
  size_t at = 0;
  feed **head;
  for (notice *n = s->notices; n;) {
    notice *next = n->next;
    caw_free(n);
    n = next;
  }
  while (s->back) {
    errand *e = s->back;
    s->back = e->next;
    e->stream->over = true;
    e->back(e);
  }
  while (s->acked) {
    feed *st = s->acked;
    s->acked = st->next_acked;
    feed_unref(st);
  }
  while ((head = idmap_next(&s->users, &at))) caw_free(head);
  idmap_free(&s->users);
  idmap_free(&s->places);
  asked_free_all(s);
  caw_free(s);
}
