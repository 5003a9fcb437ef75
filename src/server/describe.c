/* The services of a server by name, and the files that declare them. */
#include "server/server.h"

#include <caw/alloc.h>

struct server_service {
  caw_str name;
  const struct caw_pb_file *file;
};

/* The service of this name, added if need be; NULL when memory is out. */
static struct server_service *find(caw_server *s, caw_str name) {
  for (size_t i = 0; i < s->n_services; i++)
    if (caw_str_eq(s->services[i].name, name)) return &s->services[i];
  struct server_service *more =
      caw_realloc(s->services, (s->n_services + 1) * sizeof(*s->services));
  if (!more) return NULL;
  s->services = more;
  more[s->n_services] = (struct server_service){name, NULL};
  return &more[s->n_services++];
}

int server_note_service(caw_server *s, const char *path) {
  const char *name = path + (*path == '/'), *end = strrchr(name, '/');
  if (!end || end == name) return 0; /* no path of gRPC's: never called */
  return find(s, caw_str_of(name, (size_t)(end - name))) ? 0 : CAW_ENOMEM;
}

int caw_server_describe(caw_server *s, const char *service, const struct caw_pb_file *file) {
  if (s->started) return CAW_ESTATE;
  struct server_service *found = find(s, caw_str_from(service));
  if (!found) return CAW_ENOMEM;
  if (!found->file) found->file = file;
  return 0;
}

bool caw_server_service(const caw_server *s, size_t i, caw_str *name,
                        const struct caw_pb_file **file) {
  if (i >= s->n_services) return false;
  *name = s->services[i].name;
  *file = s->services[i].file;
  return true;
}
