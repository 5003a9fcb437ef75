/* A caw_loop inside a program that runs on GLib, with a time-out of GLib's. */
#include "work.h"

#include <caw/adapters/glib.h>
#include <stdio.h>

#define TICK_MS 20

static gboolean tick(gpointer user) {
  work *w = user;
  w->ticks++;
  return G_SOURCE_CONTINUE;
}

int main(void) {
  caw_loop *loop;
  work w;
  if (caw_loop_new(&loop)) return 1;
  GSource *source = caw_glib_source_new(loop);
  g_source_attach(source, NULL);
  int rc = work_start(&w, loop, "GLib");
  if (rc) return fprintf(stderr, "%s\n", caw_strerror(rc)), 1;
  guint timer = g_timeout_add(TICK_MS, tick, &w);
  /* A program without an end of its own would say g_main_loop_run. */
  while (!w.done) {
    g_main_context_iteration(NULL, TRUE);
    w.waits++;
  }
  rc = work_end(&w);
  g_source_remove(timer);
  g_source_destroy(source);
  g_source_unref(source);
  caw_loop_free(loop);
  return rc;
}
