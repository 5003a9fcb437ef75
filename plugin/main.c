/*
 * protoc-gen-caw: reads a CodeGeneratorRequest from standard input and writes a
 * CodeGeneratorResponse to standard output, as protoc asks of its plugins.
 *
 * What is wrong with the .proto files or the options goes into the response,
 * and the exit status is 0. It is 1 when the request cannot be read or the
 * response not be written.
 */
#include "generate.h"
#include "names.h"
#include "text.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <caw/version.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef google_protobuf_compiler_code_generator_response response;
typedef google_protobuf_compiler_code_generator_response_file response_file;

static const char usage[] =
    "Usage: protoc --caw_out=DIR [--caw_opt=OPTION]... FILE.proto...\n"
    "\n"
    "A plugin of protoc that writes FILE.caw.h and FILE.caw.c for the C library Caw.\n"
    "protoc starts it when it is on the PATH as protoc-gen-caw.\n"
    "\n"
    "Options (--caw_opt):\n"
    "  prefix=NAME     begins the C names of files without a package\n"
    "  comments=off    leaves out the comments of the .proto files\n"
    "  expansion=N     lets decoding take N bytes of memory per byte received, not 8\n"
    "\n"
    "  --help, --version\n";

/* -- options ------------------------------------------------------------- */

static const char *bad_value(caw_str key, caw_str value, const char *want) {
  return text_format("option %s: \"%s\" is not %s", text_of(key), text_of(value), want);
}

/* Takes one "key=value". Returns an error or NULL. */
static const char *set_option(options *o, caw_str item) {
  const char *eq = memchr(item.data, '=', item.len);
  caw_str key = item, value = {NULL, 0};
  if (eq) {
    key.len = (size_t)(eq - item.data);
    value = caw_str_of(eq + 1, item.len - key.len - 1);
  }
  if (caw_str_is(key, "prefix")) {
    if (!names_is_identifier(value)) return bad_value(key, value, "a C identifier");
    o->prefix = text_of(value);
  } else if (caw_str_is(key, "comments")) {
    if (!caw_str_is(value, "on") && !caw_str_is(value, "off"))
      return bad_value(key, value, "on or off");
    o->comments = caw_str_is(value, "on");
  } else if (caw_str_is(key, "expansion")) {
    char *end;
    unsigned long n = strtoul(text_of(value), &end, 10);
    if (*end || n < CAW_PB_EXPANSION || n > 65535)
      return bad_value(key, value, "a number from 8 to 65535");
    o->expansion = (unsigned)n;
  } else {
    return text_format("unknown option \"%s\"; there are prefix=NAME, comments=on|off, expansion=N",
                       text_of(key));
  }
  return NULL;
}

/* protoc joins the options with commas. */
static const char *read_options(options *o, caw_str list) {
  *o = (options){"", true, 0};
  while (list.len) {
    const char *comma = memchr(list.data, ',', list.len);
    size_t len = comma ? (size_t)(comma - list.data) : list.len;
    const char *error = len ? set_option(o, caw_str_of(list.data, len)) : NULL;
    if (error) return error;
    list = comma ? caw_str_of(comma + 1, list.len - len - 1) : (caw_str){NULL, 0};
  }
  return NULL;
}

/* -- generation ---------------------------------------------------------- */

static void set_error(response *r, const char *error) {
  r->has_error = true;
  r->error = caw_str_from(error);
}

/* Adds a file with the text in `out`, which is freed. */
static void add_file(response *r, const char *base, const char *suffix, buf *out) {
  response_file *file = &r->file.items[r->file.len++];
  file->has_name = file->has_content = true;
  file->name = caw_str_from(text_format("%s%s", base, suffix));
  file->content = caw_str_of(text_of(caw_str_of((const char *)out->data, out->len)), out->len);
  buf_finish(out);
}

static void add_files(response *r, const model *m) {
  r->file.items = text_alloc(2 * m->file_count + 1, sizeof(response_file));
  for (size_t i = 0; i < m->file_count; i++) {
    const model_file *f = &m->files[i];
    buf header = {0}, source = {0};
    if (!f->generate) continue;
    generate_header(&header, m, f);
    generate_source(&source, m, f);
    add_file(r, f->base, ".caw.h", &header);
    add_file(r, f->base, ".caw.c", &source);
  }
}

static void generate(response *r, const request *req) {
  options o;
  model m = {0};
  const char *error = read_options(&o, req->parameter);
  if (!error && !model_build(&m, req, &o)) error = m.error;
  if (error) set_error(r, error);
  else add_files(r, &m);
  model_finish(&m);
}

/* -- input and output ---------------------------------------------------- */

static bool read_all(buf *in) {
  while (!feof(stdin)) {
    if (buf_reserve(in, 65536)) text_out_of_memory();
    in->len += fread(in->data + in->len, 1, in->room - in->len, stdin);
    if (ferror(stdin)) return false;
  }
  return true;
}

static int fail(const char *what, const char *why) {
  fprintf(stderr, "protoc-gen-caw: %s: %s\n", what, why);
  return 1;
}

/* Answers the request in `in`. Returns the exit status. */
static int answer(const buf *in) {
  request req;
  response res = {0};
  caw_str out;
  int rc =
      caw_pb_decode_bounded(&req, text_arena, &google_protobuf_compiler_code_generator_request_type,
                            in->data, in->len, SIZE_MAX);
  if (rc) return fail("the request is not a CodeGeneratorRequest", caw_strerror(rc));
  res.has_supported_features = true;
  res.supported_features = GOOGLE_PROTOBUF_COMPILER_CODE_GENERATOR_RESPONSE_FEATURE_PROTO3_OPTIONAL;
  generate(&res, &req);
  rc =
      caw_pb_encode(&out, text_arena, &google_protobuf_compiler_code_generator_response_type, &res);
  if (rc) return fail("cannot encode the response", caw_strerror(rc));
  if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout))
    return fail("cannot write the response", strerror(errno));
  return 0;
}

int main(int argc, char **argv) {
  bool help = argc == 2 && text_same(argv[1], "--help");
  bool version = argc == 2 && text_same(argv[1], "--version");
  if (help) fputs(usage, stdout);
  else if (version) puts("protoc-gen-caw " CAW_VERSION);
  else if (argc > 1)
    fprintf(stderr, "protoc-gen-caw: unknown argument \"%s\"; see --help\n", argv[1]);
  if (argc > 1) return help || version ? 0 : 2;
  buf in = {0};
  text_arena = caw_arena_new(65536);
  if (!text_arena) text_out_of_memory();
  int status = read_all(&in) ? answer(&in) : fail("cannot read the request", strerror(errno));
  buf_finish(&in);
  caw_arena_free(text_arena);
  return status;
}
