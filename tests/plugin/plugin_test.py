#!/usr/bin/python3
"""Tests of protoc-gen-caw as a program.

usage: plugin_test.py PLUGIN SOURCE_DIR WORK_DIR [TEST...]
"""
import os
import re
import shutil
import subprocess
import sys
import unittest

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2

PLUGIN, SOURCE, WORK = (os.path.abspath(path) for path in sys.argv[1:4])
PROTOS = os.path.join(SOURCE, "tests", "pb", "protos")
MORE = os.path.join(SOURCE, "tests", "plugin", "protos")
WELL_KNOWN = ["any", "api", "duration", "empty", "field_mask", "source_context", "struct",
              "timestamp", "type", "wrappers"]
EVERYTHING = (["everything.proto", "other/imported.proto", "legacy.proto", "greeter.proto"] +
              ["google/protobuf/%s.proto" % name for name in WELL_KNOWN])
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]


def protobuf_dir():
    for path in ("/usr/include", "/usr/local/include"):
        if os.path.exists(path + "/google/protobuf/descriptor.proto"):
            return path
    sys.exit("plugin_test.py: libprotobuf-dev is not installed")


def protoc(out, files, options=(), dirs=(PROTOS, MORE)):
    os.makedirs(out, exist_ok=True)
    command = ["protoc", "--plugin=protoc-gen-caw=" + PLUGIN, "--caw_out=" + out]
    command += ["--caw_opt=" + option for option in options]
    command += ["-I" + path for path in dirs] + ["-I" + protobuf_dir()] + list(files)
    return subprocess.run(command, stderr=subprocess.PIPE, text=True)


def run_plugin(request, stdout=subprocess.PIPE, arguments=()):
    return subprocess.run([PLUGIN, *arguments], input=request, stdout=stdout,
                          stderr=subprocess.PIPE)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def files_below(path):
    return sorted(os.path.relpath(os.path.join(folder, name), path)
                  for folder, _, names in os.walk(path) for name in names)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.work = os.path.join(WORK, self.id().replace("__main__.", ""))
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)

    def generate(self, name, files, *arguments, **keywords):
        out = os.path.join(self.work, name)
        run = protoc(out, files, *arguments, **keywords)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return out

    def write(self, name, text):
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)


class Output(Case):
    def test_own_code_is_reproduced(self):
        committed = os.path.join(SOURCE, "plugin", "gen")
        out = self.generate("gen", ["google/protobuf/descriptor.proto",
                                    "google/protobuf/compiler/plugin.proto"], ["comments=off"])
        self.assertEqual(files_below(out), files_below(committed))
        for name in files_below(out):
            self.assertEqual(read(os.path.join(out, name)), read(os.path.join(committed, name)),
                             name + " differs: copy %s to plugin/gen" % out)

    def test_deterministic(self):
        first = self.generate("first", EVERYTHING)
        second = self.generate("second", list(reversed(EVERYTHING)))
        self.assertEqual(files_below(first), files_below(second))
        for name in files_below(first):
            self.assertEqual(read(os.path.join(first, name)), read(os.path.join(second, name)))
            self.assertNotRegex(read(os.path.join(first, name)), rb"[ \t]\n", name)

    def test_descriptors(self):
        """The embedded descriptors are protoc's."""
        out = self.generate("out", EVERYTHING)
        data = os.path.join(self.work, "set")
        subprocess.run(["protoc", "-o", data, "-I" + PROTOS, "-I" + MORE, "-I" + protobuf_dir()] +
                       EVERYTHING, check=True)
        for file in descriptor_pb2.FileDescriptorSet.FromString(read(data)).file:
            source = read(os.path.join(out, file.name.replace(".proto", ".caw.c"))).decode()
            numbers = re.search(r"_descriptor\[\] = \{(.*?)\};", source, re.S).group(1)
            got = bytes(int(n) for n in re.findall(r"\d+", numbers))
            self.assertEqual(descriptor_pb2.FileDescriptorProto.FromString(got), file)
            self.assertEqual(got, file.SerializeToString())

    def test_comments(self):
        self.write("c.proto", 'syntax = "proto3";\n'
                   "// Of a message: */ and /* and \\\n//\n//   indented\n"
                   "message M {\n  /* Of a field. */\n  int32 f = 1;\n  int32 g = 2; // behind\n}\n"
                   "// Of an enum.\nenum E {\n  // Of a value.\n  A = 0;\n}\n")
        out = self.generate("out", ["c.proto"], dirs=[self.work])
        header = read(out + "/c.caw.h").decode()
        self.assertIn("/*\n * Of a message: * / and / * and \\\n *\n *   indented\n */\nstruct m {",
                      header)
        self.assertIn("  /* Of a field. */\n  int32_t f;\n  /* behind */\n  int32_t g;\n", header)
        self.assertIn("/* Of an enum. */\nenum e CAW_PB_ENUM_BASE {\n  /* Of a value. */\n  A = 0\n",
                      header)
        off = self.generate("off", ["c.proto"], ["comments=off"], dirs=[self.work])
        self.assertNotIn("Of a", read(off + "/c.caw.h").decode())

    def test_prefix(self):
        self.write("p.proto", 'syntax = "proto3"; message M { E e = 1; enum E { A = 0; } }'
                   "enum F { B = 0; }")
        out = self.generate("out", ["p.proto"], ["prefix=My"], dirs=[self.work])
        header = read(out + "/p.caw.h").decode()
        for text in ("struct My_m {", "MY_M_A = 0", "MY_B = 0", "caw_type My_m_type;"):
            self.assertIn(text, header)

    def test_reserved_words(self):
        self.write("r.proto", 'syntax = "proto3"; enum E { NULL = 0; EOF = 1; } message Int {}\n'
                   "service Not { rpc Eq(Int) returns (Int); rpc Delete(Int) returns (Int); }")
        out = self.generate("out", ["r.proto"], dirs=[self.work])
        header = read(out + "/r.caw.h").decode()
        for text in ("  NULL_ = 0,\n  EOF_ = 1\n", "struct int_ {", "caw_type int__type;",
                     " int not_eq_(caw_channel *channel,", "int (*delete_)(", "} not_service;"):
            self.assertIn(text, header)
        for compiler in (["gcc", "-x", "c", "-std=c11"], ["g++", "-x", "c++", "-std=c++17"]):
            run = subprocess.run([*compiler, "-fsyntax-only", *WARNINGS, "-I" + SOURCE + "/include",
                                  "-I" + out, out + "/r.caw.c"], stderr=subprocess.PIPE, text=True)
            self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_expansion(self):
        self.write("x.proto", 'syntax = "proto3"; message M {}')
        out = self.generate("out", ["x.proto"], ["expansion=99"], dirs=[self.work])
        self.assertIn('"M", NULL, NULL, sizeof(m), 0, 0, 0, 99, 0', read(out + "/x.caw.c").decode())


class Compilation(Case):
    """Everything compiles without a warning, as C and C++, by each compiler."""

    def compile(self, compiler, language):
        if not shutil.which(compiler):
            self.skipTest(compiler + " is not installed")
        out = self.generate("out", EVERYTHING)
        shutil.copy(os.path.join(SOURCE, "tests", "plugin", "greeter_use.c"), out)
        gen = os.path.join(SOURCE, "plugin", "gen")
        names = files_below(out) + [os.path.join(gen, name) for name in files_below(gen)]
        for name in names:
            # A header alone, twice.
            text = '#include "%s"\n' % name
            command = [compiler, *language, "-fsyntax-only", *WARNINGS, "-I.", "-I" + gen,
                       "-I" + os.path.join(SOURCE, "include"), "-"]
            run = subprocess.run(command, cwd=out, text=True, stderr=subprocess.PIPE,
                                 input=text * (2 if name.endswith(".h") else 1))
            self.assertEqual((name, run.returncode, run.stderr), (name, 0, ""))

    def test_gcc(self):
        self.compile("gcc", ["-x", "c", "-std=c11"])

    def test_gxx(self):
        self.compile("g++", ["-x", "c++", "-std=c++17"])

    def test_clang(self):
        self.compile("clang-14", ["-x", "c", "-std=c11"])

    def test_clangxx(self):
        self.compile("clang++-14", ["-x", "c++", "-std=c++17"])


class Refusals(Case):
    """What is wrong with the input is told by protoc, word for word."""

    def refuse(self, files, error, options=()):
        for name, text in files.items():
            self.write("in/" + name, text)
        out = os.path.join(self.work, "out")
        run = protoc(out, files, options, dirs=[self.work + "/in"])
        self.assertEqual(run.stderr, "--caw_out: " + error + "\n")
        self.assertEqual(run.returncode, 1)
        self.assertEqual(files_below(out), [])

    def collision(self, body, first, second, name, syntax="proto3"):
        """`first` and `second` are (line, full name); the body begins in line 2."""
        self.refuse({"a.proto": 'syntax = "%s";\n%s' % (syntax, body)},
                    'a.proto:%d: "%s" and a.proto:%d: "%s" both become "%s" in C'
                    % (*first, *second, name))

    def test_messages(self):
        self.collision("message FooBar {}\nmessage Foo_Bar {}\n", (2, "FooBar"), (3, "Foo_Bar"),
                       "foo_bar")

    def test_nested_messages(self):
        self.collision("message A { message B {} }\nmessage A_B {}\n", (2, "A.B"), (3, "A_B"),
                       "a_b")

    def test_message_and_enum(self):
        self.collision("message AB {}\nenum Ab { X = 0; }\n", (3, "Ab"), (2, "AB"), "ab")

    def test_message_and_value(self):
        self.collision("message A { enum E { x = 0; } }\nenum F { A_x = 0; }\n", (3, "F.A_x"),
                       (2, "A.E.x"), "A_x")

    def test_fields(self):
        self.collision("message M {\n  optional int32 fooBar = 1;\n  optional int32 foo_bar = 2;\n}",
                       (3, "M.fooBar"), (4, "M.foo_bar"), "foo_bar", "proto2")

    def test_presence(self):
        self.collision("message M {\n  optional int32 x = 1;\n  int32 has_x = 2;\n}\n", (3, "M.x"),
                       (4, "M.has_x"), "has_x")

    def test_keyword(self):
        self.collision("message M {\n  optional int32 int = 1;\n  optional int32 int_ = 2;\n}\n",
                       (3, "M.int"), (4, "M.int_"), "int_", "proto2")

    def test_own_member(self):
        self.collision("message M {\n  int32 caw_unknown = 1;\n}\n", (2, "M (of Caw)"),
                       (3, "M.caw_unknown"), "caw_unknown")

    def test_case_of_oneof(self):
        self.collision("message M {\n  oneof kind { int32 a = 1; }\n  int32 kind_case = 2;\n}\n",
                       (3, "M.kind"), (4, "M.kind_case"), "kind_case")

    def test_service_and_message(self):
        self.collision("service Room {}\nmessage RoomService {}\n", (3, "RoomService"), (2, "Room"),
                       "room_service")

    def test_methods(self):
        self.collision("service S {\n  rpc Go(M) returns (M);\n  rpc GoAsync(M) returns (M);\n}\n"
                       "message M {}\n", (3, "S.Go"), (4, "S.GoAsync"), "s_go_async")

    def test_across_files(self):
        self.refuse({"a.proto": 'syntax = "proto3"; package a;\nmessage B_C {}\n',
                     "b.proto": 'syntax = "proto3"; package a.b;\n\nmessage C {}\n'},
                    'a.proto:2: "a.B_C" and b.proto:3: "a.b.C" both become "a_b_c" in C')

    def test_files(self):
        self.refuse({"a-b.proto": 'syntax = "proto3";', "a_b.proto": 'syntax = "proto3";'},
                    'a-b.proto: "a-b.proto" and a_b.proto: "a_b.proto" both become '
                    '"caw_file_a_b_proto" in C')

    def test_constant_gives_way(self):
        self.write("a.proto", 'syntax = "proto3"; message Foo {} message FooType {}\n'
                   "message FooType_ {} enum E { X = 0; } message EEnum {}")
        out = self.generate("out", ["a.proto"], dirs=[self.work])
        header = read(out + "/a.caw.h").decode()
        self.assertIn("extern const caw_type foo_type__;", header)
        self.assertIn("extern const caw_type foo_type_type;", header)
        self.assertIn("extern const caw_pb_enum e_enum_;", header)

    def test_options(self):
        for option, error in {
                "colour=on": 'unknown option "colour"; there are prefix=NAME, comments=on|off, '
                             "expansion=N",
                "prefix": 'option prefix: "" is not a C identifier',
                "prefix=9a": 'option prefix: "9a" is not a C identifier',
                "prefix=a-b": 'option prefix: "a-b" is not a C identifier',
                "comments=maybe": 'option comments: "maybe" is not on or off',
                "expansion=7": 'option expansion: "7" is not a number from 8 to 65535',
                "expansion=8x": 'option expansion: "8x" is not a number from 8 to 65535',
                "expansion=": 'option expansion: "" is not a number from 8 to 65535',
        }.items():
            with self.subTest(option):
                self.refuse({"a.proto": 'syntax = "proto3";'}, error, [option])


class Requests(Case):
    """What protoc never sends."""

    def answer(self, request):
        run = run_plugin(request.SerializeToString())
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        return plugin_pb2.CodeGeneratorResponse.FromString(run.stdout)

    def request(self):
        request = plugin_pb2.CodeGeneratorRequest(file_to_generate=["a.proto"])
        file = request.proto_file.add(name="a.proto", syntax="proto3")
        file.message_type.add(name="M").field.add(name="f", number=1, type=5, label=1)
        return request

    def test_features(self):
        response = self.answer(self.request())
        self.assertEqual(response.error, "")
        self.assertEqual(response.supported_features,
                         plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
        self.assertEqual([f.name for f in response.file], ["a.caw.h", "a.caw.c"])

    def test_nothing_to_do(self):
        response = self.answer(plugin_pb2.CodeGeneratorRequest())
        self.assertEqual((response.error, len(response.file)), ("", 0))

    def expect(self, request, error):
        response = self.answer(request)
        self.assertEqual((response.error, len(response.file)), (error, 0))

    def test_missing_file(self):
        request = self.request()
        request.file_to_generate.append("b.proto")
        self.expect(request, "b.proto: not in the request")

    def test_syntax(self):
        request = self.request()
        request.proto_file[0].syntax = "editions"
        self.expect(request, 'a.proto: syntax "editions" is not supported')

    def test_types(self):
        error = 'a.proto: "M.f" has a type that is not in the request'
        for kind, name in ((11, ".Missing"), (11, ""), (14, ".M"), (0, ""), (19, ""), (5, ".M")):
            request = self.request()
            request.proto_file[0].message_type[0].field[0].type_name = name
            data = request.SerializeToString()
            # Numbers that Python's enum refuses are put in by hand.
            self.assertEqual(data.count(b"\x28\x05"), 1)
            run = run_plugin(data.replace(b"\x28\x05", b"\x28" + bytes([kind])))
            response = plugin_pb2.CodeGeneratorResponse.FromString(run.stdout)
            self.assertEqual((run.returncode, response.error), (0, error), (kind, name))

    def test_bad_map(self):
        request = self.request()
        message = request.proto_file[0].message_type[0]
        message.nested_type.add(name="FEntry").options.map_entry = True
        message.field[0].type, message.field[0].label = 11, 3
        message.field[0].type_name = ".M.FEntry"
        self.expect(request, 'a.proto: "M.FEntry" is not the entry of a map')

    def test_too_many(self):
        request = self.request()
        message = request.proto_file[0].message_type[0]
        for number in range(2, 32769):
            message.field.add(name="f%d" % number, number=number, type=5, label=1)
        self.expect(request, 'a.proto: "M" has more than 32767 fields')
        request = self.request()
        enum = request.proto_file[0].enum_type.add(name="E")
        self.expect(request, 'a.proto: "E" has no values')
        for number in range(65536):
            enum.value.add(name="V%d" % number, number=number)
        self.expect(request, 'a.proto: "E" has more than 65535 values')

    def test_bad_service(self):
        request = self.request()
        request.proto_file[0].service.add(name="S").method.add(name="X", input_type=".M",
                                                               output_type=".N")
        self.expect(request, 'a.proto: service "S" has a type that is not in the request')

    def test_not_a_request(self):
        run = run_plugin(b"\x0a\xff")
        self.assertEqual((run.returncode, run.stdout), (1, b""))
        self.assertEqual(run.stderr, b"protoc-gen-caw: the request is not a CodeGeneratorRequest: "
                         b"malformed bytes\n")

    def test_output_fails(self):
        with open("/dev/full", "wb") as full:
            run = run_plugin(self.request().SerializeToString(), stdout=full)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stderr, b"protoc-gen-caw: cannot write the response: "
                         b"No space left on device\n")

    def test_arguments(self):
        run = run_plugin(b"", arguments=["--help"])
        self.assertEqual((run.returncode, run.stdout[:14]), (0, b"Usage: protoc "))
        run = run_plugin(b"", arguments=["--version"])
        self.assertEqual((run.returncode, run.stdout[:15]), (0, b"protoc-gen-caw "))
        run = run_plugin(b"", arguments=["--nonsense"])
        self.assertEqual((run.returncode, run.stdout), (2, b""))


unittest.main(argv=sys.argv[:1] + sys.argv[4:])
