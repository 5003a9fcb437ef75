/*
 * Runs a caw_loop inside a GLib main context (2.36 or later). Header only: it
 * needs GLib's header and library in your program, and is compiled into it.
 *
 *     GSource *source = caw_glib_source_new(loop);
 *     g_source_attach(source, NULL);  // NULL: the default context
 *     ... make servers and channels on `loop`, run a GMainLoop, free them ...
 *     g_source_destroy(source);
 *     g_source_unref(source);
 *     caw_loop_free(loop);
 *
 * Callbacks of Caw come from inside the context's iteration, at the source's
 * priority.
 */
#ifndef CAW_ADAPTERS_GLIB_H
#define CAW_ADAPTERS_GLIB_H

#include <caw/loop.h>
#include <glib.h>

CAW_BEGIN_DECLS

typedef struct caw_glib_source {
  GSource base;
  caw_loop *loop;
  gpointer tag; /* of the loop's descriptor */
} caw_glib_source;

static inline gboolean caw_glib_prepare(GSource *source, gint *timeout) {
  *timeout = caw_loop_timeout(((caw_glib_source *)source)->loop);
  return *timeout == 0;
}

static inline gboolean caw_glib_check(GSource *source) {
  caw_glib_source *s = (caw_glib_source *)source;
  return g_source_query_unix_fd(source, s->tag) || caw_loop_timeout(s->loop) == 0;
}

static inline gboolean caw_glib_dispatch(GSource *source, GSourceFunc callback, gpointer user) {
  (void)callback;
  (void)user;
  caw_loop_run(((caw_glib_source *)source)->loop, CAW_LOOP_NOWAIT);
  return G_SOURCE_CONTINUE;
}

/*
 * Makes a source that runs `loop` in the context that it is attached to, whose
 * thread becomes the loop's; `loop` must not be run otherwise meanwhile. The
 * caller owns the source: destroy and unref it before `loop` is freed, also from
 * inside a callback of Caw's; `loop` may then be freed once that has returned to
 * GLib. Like all of GLib it ends the program when memory is out. Since 0.1.
 */
static inline GSource *caw_glib_source_new(caw_loop *loop) {
  static GSourceFuncs functions = {
      caw_glib_prepare, caw_glib_check, caw_glib_dispatch, NULL, NULL, NULL,
  };
  GSource *source = g_source_new(&functions, sizeof(caw_glib_source));
  caw_glib_source *s = (caw_glib_source *)source;
  s->loop = loop;
  s->tag = g_source_add_unix_fd(source, caw_loop_fd(loop), G_IO_IN);
  return source;
}

CAW_END_DECLS

#endif
