/*
 * protoc-gen-caw: reads a CodeGeneratorRequest from standard input and writes a
 * CodeGeneratorResponse to standard output, as protoc asks of its plugins.
 *
 * What is wrong with the .proto files or the options goes into the response,
 * and the exit status is 0. It is 1 when the request cannot be read or the
 * response not be written.
 */
#include "answer.h"
#include "text.h"

#include <caw/status.h>
#include <caw/version.h>
#include <errno.h>
#include <stdio.h>

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
  const char *what;
  caw_str out;
  int rc = plugin_answer(&out, in->data, in->len, &what);
  if (rc) return fail(what, caw_strerror(rc));
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
