/* The details of an error (caw/details.h), on the public API only. */
#include <caw/details.h>

#include <caw/pb.h>
#include <string.h>

/* What protobuf's runtimes put before the name of a type in an Any. */
static const caw_str url_prefix = CAW_STR("type.googleapis.com/");

/* Our names of the standard details, and everyone's. */
static const caw_str own_package = CAW_STR("caw.details.");
static const caw_str google_package = CAW_STR("google.rpc.");

/* The name of a type as it travels: a package and the rest. False for a type
 * that is not one of protobuf's. */
static bool wire_name(const caw_type *type, caw_str *package, caw_str *rest) {
  const caw_pb_message *table = caw_pb_table(type);
  if (!table) return false;
  caw_str name = caw_str_from(table->name);
  bool own = name.len > own_package.len && !memcmp(name.data, own_package.data, own_package.len);
  *package = own ? google_package : caw_str_of(name.data, 0);
  *rest = own ? caw_str_of(name.data + own_package.len, name.len - own_package.len) : name;
  return true;
}

/* A new array each time: the old one is the program's or a decoder's, and how much
 * room it has nobody knows. Details are few. */
static caw_details_detail *add_place(caw_details_status *status, caw_arena *arena) {
  size_t n = status->details.len;
  caw_details_detail *items = caw_arena_calloc(arena, n + 1, sizeof(*items));
  if (!items) return NULL;
  if (n) memcpy(items, status->details.items, n * sizeof(*items));
  status->details.items = items;
  return &items[n];
}

int caw_details_add(caw_details_status *status, caw_arena *arena, const caw_type *type,
                    const void *detail) {
  caw_str package, rest, value;
  if (!wire_name(type, &package, &rest)) return CAW_EINVAL;
  int rc = caw_pb_encode(&value, arena, type, detail);
  if (rc) return rc;
  caw_str url = caw_arena_printf(arena, "%.*s%.*s%.*s", CAW_STR_ARG(url_prefix),
                                 CAW_STR_ARG(package), CAW_STR_ARG(rest));
  caw_details_detail *place = url.data ? add_place(status, arena) : NULL;
  if (!place) return CAW_ENOMEM;
  *place = (caw_details_detail){.type_url = url, .value = value};
  status->details.len++;
  return 0;
}

/* Does the URL name the type? What stands before its last slash is anybody's
 * (any.proto). */
static bool is_named(caw_str url, caw_str package, caw_str rest) {
  size_t len = package.len + rest.len;
  if (url.len < len + 1 || url.data[url.len - len - 1] != '/') return false;
  const char *name = url.data + url.len - len;
  return !memcmp(name, package.data, package.len) &&
         !memcmp(name + package.len, rest.data, rest.len);
}

int caw_details_find(const caw_details_status *status, size_t *at, const caw_type *type,
                     void *detail, caw_arena *arena) {
  caw_str package, rest;
  if (!wire_name(type, &package, &rest)) return CAW_EINVAL;
  while (*at < status->details.len) {
    const caw_details_detail *d = &status->details.items[(*at)++];
    if (is_named(d->type_url, package, rest))
      return caw_pb_decode(detail, arena, type, d->value.data, d->value.len);
  }
  return CAW_EEND;
}

int caw_details_read(caw_details_status *out, caw_arena *arena, const caw_status *status) {
  memset(out, 0, sizeof(*out));
  if (!status->details.len) return CAW_EEND;
  return caw_pb_decode(out, arena, &caw_details_status_type, status->details.data,
                       status->details.len);
}

int caw_details_fail(caw_call *call, const caw_details_status *status) {
  caw_details_status copy = *status;
  caw_str bytes;
  if (copy.code < CAW_CANCELLED || copy.code > CAW_UNAUTHENTICATED) copy.code = CAW_UNKNOWN;
  if (!caw_pb_encode(&bytes, caw_call_arena(call), &caw_details_status_type, &copy))
    caw_call_set_details(call, bytes);
  return caw_call_fail(call, copy.code, "%.*s", CAW_STR_ARG(copy.message));
}
