/* From a CodeGeneratorRequest to a CodeGeneratorResponse: options, and what is
 * generated for which file. */
#include "answer.h"

#include "generate.h"
#include "names.h"
#include "text.h"

#include <stdlib.h>

typedef google_protobuf_compiler_code_generator_response response;
typedef google_protobuf_compiler_code_generator_response_file response_file;

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

int plugin_answer(caw_str *out, const uint8_t *data, size_t len, const char **what) {
  request req;
  response res = {0};
  *what = "the request is not a CodeGeneratorRequest";
  int rc =
      caw_pb_decode_bounded(&req, text_arena, &google_protobuf_compiler_code_generator_request_type,
                            data, len, SIZE_MAX);
  if (rc) return rc;
  res.has_supported_features = true;
  res.supported_features = GOOGLE_PROTOBUF_COMPILER_CODE_GENERATOR_RESPONSE_FEATURE_PROTO3_OPTIONAL;
  generate(&res, &req);
  *what = "cannot encode the response";
  return caw_pb_encode(out, text_arena, &google_protobuf_compiler_code_generator_response_type,
                       &res);
}
