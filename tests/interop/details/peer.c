/*
 * The other side of Ruby's details of errors (peer.rb):
 *
 *   peer-details fields          the fields of every standard detail, one a line
 *   peer-details serve           a server whose every call fails with all details
 *   peer-details call ADDRESS    calls, and prints the details as JSON
 */
#include <caw/blocking.h>
#include <caw/details.h>
#include <caw/json.h>
#include <caw/pb.h>
#include <caw/server.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const caw_method fail_method = {"/test.Details/Fail", CAW_UNARY, &caw_type_bytes,
                                       &caw_type_bytes};

static const caw_type *const standard[] = {
    &caw_details_error_info_type,   &caw_details_retry_info_type,
    &caw_details_debug_info_type,   &caw_details_quota_failure_type,
    &caw_details_bad_request_type,  &caw_details_precondition_failure_type,
    &caw_details_request_info_type, &caw_details_resource_info_type,
    &caw_details_help_type,         &caw_details_localized_message_type,
};
#define N_STANDARD (sizeof(standard) / sizeof(standard[0]))

/* ---- fields ---- */

/* As Ruby's descriptors name them. */
static const char *type_name(const caw_pb_field *f) {
  switch (f->type) {
  case CAW_PB_STRING:
    return "string";
  case CAW_PB_INT32:
    return "int32";
  case CAW_PB_INT64:
    return "int64";
  case CAW_PB_MESSAGE:
    return "message";
  default:
    return "another type";
  }
}

static void print_fields(const caw_pb_message *m) {
  const char *name = m->name + strlen("caw.details.");
  if (m->flags & CAW_PB_ENTRY || !strcmp(name, "Duration") || !strcmp(name, "Detail")) return;
  for (uint16_t i = 0; i < m->field_count; i++) {
    const caw_pb_field *f = &m->fields[i];
    printf("%s %s %u %s %s\n", name, f->name, f->tag >> 3, type_name(f),
           f->flags & CAW_PB_REPEATED ? "repeated" : "optional");
    if (f->type == CAW_PB_MESSAGE && strcmp(name, "Status") != 0)
      print_fields(caw_pb_table(f->sub));
  }
}

static int run_fields(void) {
  print_fields(caw_pb_table(&caw_details_status_type));
  for (size_t i = 0; i < N_STANDARD; i++) print_fields(caw_pb_table(standard[i]));
  return 0;
}

/* ---- serve ---- */

/* One of each, written as JSON: that is what the other side prints. */
static const char *const texts[N_STANDARD] = {
    "{\"reason\":\"FULL\",\"domain\":\"caw.example\",\"metadata\":{\"zone\":\"a\"}}",
    "{\"retryDelay\":{\"seconds\":\"2\",\"nanos\":500000000}}",
    "{\"stackEntries\":[\"inner\",\"outer\"],\"detail\":\"d\"}",
    "{\"violations\":[{\"subject\":\"s\",\"description\":\"too much\"}]}",
    "{\"fieldViolations\":[{\"field\":\"name\",\"description\":\"empty\"}]}",
    "{\"violations\":[{\"type\":\"TOS\",\"subject\":\"s\",\"description\":\"accept\"}]}",
    "{\"requestId\":\"42\",\"servingData\":\"x\"}",
    "{\"resourceType\":\"user\",\"resourceName\":\"ann\",\"owner\":\"o\",\"description\":\"gone\"}",
    "{\"links\":[{\"description\":\"manual\",\"url\":\"https://caw.example/\"}]}",
    "{\"locale\":\"de\",\"message\":\"Zu viel \xe2\x98\x83\"}",
};

static int handle(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)request, (void)reply, (void)impl, (void)self;
  caw_arena *arena = caw_call_arena(call);
  caw_details_status status = {.code = CAW_FAILED_PRECONDITION, .message = CAW_STR("all of them")};
  for (size_t i = 0; i < N_STANDARD; i++) {
    void *detail = caw_arena_calloc(arena, 1, standard[i]->size);
    int rc = detail ? caw_json_read(detail, arena, standard[i], caw_str_from(texts[i]), NULL, NULL)
                    : CAW_ENOMEM;
    if (!rc) rc = caw_details_add(&status, arena, standard[i], detail);
    if (rc) return caw_call_fail(call, CAW_INTERNAL, "detail %zu: %s", i, caw_strerror(rc));
  }
  return caw_details_fail(call, &status);
}

static int run_server(void) {
  static const caw_handler handler = {&fail_method, handle, NULL, NULL};
  caw_server *server;
  if (caw_server_new(&server, NULL) || caw_server_add(server, &handler, 1, NULL, NULL) ||
      caw_server_listen(server, "127.0.0.1:0"))
    return 1;
  printf("listening on %s\n", caw_server_address(server, 0));
  fflush(stdout);
  return caw_server_run(server) != 0;
}

/* ---- call ---- */

static int print_details(const caw_status *status, caw_arena *arena) {
  caw_details_status all;
  int rc = caw_details_read(&all, arena, status);
  if (rc) {
    printf("no details: %s\n", caw_strerror(rc));
    return 1;
  }
  printf("%s %.*s %zu\n", caw_code_name(all.code), CAW_STR_ARG(all.message), all.details.len);
  for (size_t i = 0; i < N_STANDARD; i++) {
    void *detail = caw_arena_calloc(arena, 1, standard[i]->size);
    caw_str json;
    size_t at = 0;
    rc = caw_details_find(&all, &at, standard[i], detail, arena);
    if (!rc) rc = caw_json_write(&json, arena, standard[i], detail, NULL, NULL);
    if (rc) printf("%s\n", caw_strerror(rc));
    else printf("%.*s\n", CAW_STR_ARG(json));
  }
  return 0;
}

static int run_call(const char *address) {
  caw_channel *channel;
  caw_arena *arena = caw_arena_new(0);
  caw_str request = CAW_STR("x"), reply;
  caw_status status = {0};
  const caw_call_options o = {.size = sizeof(o), .timeout_ms = 30000, .wait_for_ready = true};
  if (!arena || caw_channel_new(&channel, address, NULL, NULL)) return 1;
  int rc = caw_call_unary(channel, &fail_method, &request, &reply, arena, &o, &status);
  printf("%s %.*s\n", caw_code_name(rc), CAW_STR_ARG(status.message));
  rc = print_details(&status, arena);
  caw_channel_free(channel);
  caw_arena_free(arena);
  return rc;
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "fields")) return run_fields();
  if (argc == 2 && !strcmp(argv[1], "serve")) return run_server();
  if (argc == 3 && !strcmp(argv[1], "call")) return run_call(argv[2]);
  fprintf(stderr, "Usage: peer-details fields | serve | call ADDRESS\n");
  return 2;
}
