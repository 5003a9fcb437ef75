#!/usr/bin/python3
"""Caw's JSON against that of Python's protobuf: random messages both ways.

usage: json_differential.py PEER PROTO_DIR WORK_DIR [COUNT [SEED]]

Python makes messages. Caw writes them as JSON, which must be what Python
writes, value by value, and what Python reads back to the same message. Python
writes them as JSON, which Caw must read to the same message. Then Python's
texts are damaged: what Caw still takes, Python must take, with the same
outcome. A failure names the seed, with which the run can be repeated.
"""
import json
import os
import random
import subprocess
import sys

from google.protobuf import json_format

from differential import EVERYTHING, LEGACY, Maker, frame, frames, has_maps, load

DEFAULTS, NAMES, NUMBERS, INDENT, IGNORE = 1, 2, 4, 8, 16


class JsonMaker(Maker):
    """Messages that have a JSON form: the well-known types within their ranges."""

    def __init__(self, rng, everything):
        super().__init__(rng)
        self.everything = everything
        self.numbers = [0.0, -0.0, 1.0, -1.5, 1e-7, 123456789.125, 1e300, 5e-324, 0.1, 1 / 3, 2.0**53]
        pick = rng.choice
        doubles = self.makers[1]
        self.makers[1] = lambda: doubles() if rng.random() < 0.3 else pick(
            [rng.uniform(-1e6, 1e6), rng.random() * 10 ** rng.randint(-300, 300),
             float(rng.randint(-10**17, 10**17)), rng.randint(1, 2**52) * 5e-324])
        floats = self.makers[2]
        self.makers[2] = lambda: floats() if rng.random() < 0.3 else pick(
            [rng.uniform(-1e6, 1e6), rng.random() * 10 ** rng.randint(-36, 37),
             float(rng.randint(-10**10, 10**10))])

    def value(self, field):
        # Numbers beyond the only one of NullValue have no JSON.
        if field.enum_type is not None and field.enum_type.name == "NullValue":
            return lambda: 0
        return super().value(field)

    def fill(self, message, depth):
        special = getattr(self, "fill_" + message.DESCRIPTOR.name.lower(), None)
        if special and message.DESCRIPTOR.file.package == "google.protobuf":
            special(message, depth)
        else:
            super().fill(message, depth)

    def fill_any(self, message, depth):
        inner = self.rng.choice([self.everything.Everything.Inner, self.everything.Nothing,
                                 type(self.everything.Everything().w_duration),
                                 type(self.everything.Everything().w_value),
                                 type(self.everything.Everything().w_bool),
                                 self.everything.Everything])()
        self.fill(inner, max(depth - 1, 0))
        if has_maps(inner):
            inner = self.everything.Nothing()  # Python packs maps in any order
        message.type_url = self.rng.choice(["type.googleapis.com/", "x/y/", "/"]) + inner.DESCRIPTOR.full_name
        message.value = inner.SerializePartialToString(deterministic=True)

    def nanos(self):
        digits = self.rng.choice([0, 1, 3, 4, 6, 7, 9])
        return self.rng.randrange(10**digits) * 10 ** (9 - digits)

    def fill_timestamp(self, message, depth):
        message.seconds = self.rng.choice([0, -62135596800, 253402300799, self.rng.randrange(-62135596800, 253402300800)])
        message.nanos = self.nanos()

    def fill_duration(self, message, depth):
        sign = self.rng.choice([-1, 1])
        message.seconds = sign * self.rng.choice([0, 1, 315576000000 - 1, self.rng.randrange(315576000000)])
        message.nanos = sign * self.nanos()

    def fill_fieldmask(self, message, depth):
        message.paths.extend(self.rng.choice(["a", "foo_bar", "a.b_c.d", "x1_y"])
                             for _ in range(self.rng.randrange(4)))

    def fill_value(self, message, depth):
        kind = self.rng.randrange(6 if depth > 0 else 4)
        if kind == 0:
            message.null_value = 0
        elif kind == 1:
            message.number_value = self.rng.choice(self.numbers)
        elif kind == 2:
            message.string_value = self.makers[9]()
        elif kind == 3:
            message.bool_value = self.rng.random() < 0.5
        elif kind == 4:
            message.struct_value.SetInParent()
            self.fill_struct(message.struct_value, depth - 1)
        else:
            message.list_value.SetInParent()
            self.fill_listvalue(message.list_value, depth - 1)

    def fill_struct(self, message, depth):
        for _ in range(self.rng.randrange(4)):
            self.fill_value(message.fields[self.makers[9]()], depth)

    def fill_listvalue(self, message, depth):
        for _ in range(self.rng.randrange(4)):
            self.fill_value(message.values.add(), depth)


def say(seed, number, what, *datas):
    print("json_differential.py: seed %d, message %d: %s" % (seed, number, what))
    for data in datas:
        print("  " + repr(data))
    sys.exit(1)


def make(maker, classes, i):
    message = (classes[1].Legacy if i % 4 == 3 else classes[0].Everything)()
    maker.fill(message, 3)
    return message, LEGACY if i % 4 == 3 else EVERYTHING


def same(a, b):
    # Any holds bytes, so that the order of a map in them would count.
    return a.SerializePartialToString(deterministic=True) == b.SerializePartialToString(deterministic=True)


def python_json(message, options):
    return json_format.MessageToJson(
        message, including_default_value_fields=bool(options & DEFAULTS),
        preserving_proto_field_name=bool(options & NAMES),
        use_integers_for_enums=bool(options & NUMBERS), indent=None,
        ensure_ascii=bool(options & INDENT))


def value_of(text):
    # Numbers as they are written, -0 apart from 0; a name twice is a mistake.
    def once(pairs):
        if len({k for k, _ in pairs}) != len(pairs):
            raise ValueError("a name comes twice: " + text)
        return dict(pairs)
    return json.loads(text, object_pairs_hook=once, parse_int=float)


def run(peer, mode, out):
    done = subprocess.run([peer, mode], input=b"".join(out), stdout=subprocess.PIPE, check=True)
    return list(frames(done.stdout))


def to_json(peer, messages, rng, seed):
    out, wanted = [], []
    for message, kind in messages:
        options = rng.randrange(16)
        if kind == LEGACY:
            options &= ~DEFAULTS  # this Python adds fields with presence too
        out.append(frame(kind | options << 8, message.SerializePartialToString()))
        wanted.append(options)
    answers = run(peer, "to-json", out)
    if len(answers) != len(messages):
        say(seed, len(answers), "too few answers")
    for i, ((rc, data), (message, kind), options) in enumerate(zip(answers, messages, wanted)):
        if rc:
            say(seed, i, "Caw answers %d: %s" % (rc, data.decode()), message)
        text = data.decode()
        want = python_json(message, options)
        if repr(value_of(text)) != repr(reorder(value_of(want), value_of(text))):
            say(seed, i, "JSON differs", text, want)
        again = json_format.Parse(text, type(message)())
        if not same(again, message):
            say(seed, i, "Python reads another message", text)


def reorder(value, like):
    """The members of objects in the order of another value, for comparison. A
    NullValue that is a default is null; Python writes it like other enums."""
    if isinstance(value, dict) and isinstance(like, dict):
        value = {k: None if k in ("wNull", "w_null") else v for k, v in value.items()}
        first = [k for k in like if k in value]
        return {k: reorder(value[k], like.get(k)) for k in first + [k for k in value if k not in like]}
    if isinstance(value, list) and isinstance(like, list) and len(value) == len(like):
        return [reorder(v, l) for v, l in zip(value, like)]
    return value


def from_json(peer, messages, rng, seed):
    texts, out = [], []
    for message, kind in messages:
        text = python_json(message, rng.randrange(16))
        if rng.random() < 0.3:
            text = json.dumps(json.loads(text), indent=rng.choice([0, 1, 4]))
        texts.append(text)
        out.append(frame(kind, text.encode()))
    answers = run(peer, "from-json", out)
    for i, ((rc, data), (message, kind), text) in enumerate(zip(answers, messages, texts)):
        if rc:
            say(seed, i, "Caw answers %d: %s" % (rc, data.decode()), text)
        # Its own reading of its text is the measure: it rounds some times.
        want = json_format.Parse(text, type(message)())
        if not same(type(message).FromString(data), want):
            say(seed, i, "Caw reads another message", text)
    return texts


PIECES = ["null", "true", "0", "-", "1e5", "1.0", '"', "\\", "{}", "[]", "{", "}", "[", "]", ",", ":",
          '"1"', '""', "\\u0041", "\\ud83d\\ude00", "Z", " ", "\n", "9", ".5", '"NaN"', "a", "_", "="]


def damage(text, rng):
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(text) + 1)
        action = rng.random()
        if action < 0.3:
            text = text[:at] + text[at + rng.randint(1, 3):]
        elif action < 0.8:
            text = text[:at] + rng.choice(PIECES) + text[at + rng.randrange(2):]
        else:
            other = rng.randrange(len(text) + 1)
            text = text[:at] + text[other:other + rng.randint(1, 30)] + text[at:]
    return text


def damaged(peer, messages, texts, rng, seed):
    broken = [damage(text, rng) for text in texts]
    out = [frame(kind, text.encode()) for (_, kind), text in zip(messages, broken)]
    taken = 0
    for i, ((rc, data), (message, kind), text) in enumerate(zip(run(peer, "from-json", out), messages, broken)):
        if rc:
            continue
        taken += 1
        try:
            want = json_format.Parse(text, type(message)())
        except json_format.ParseError as error:
            # Whole numbers in strings may have a fraction of zeros or an exponent
            # (the conformance suite wants that); this Python is older than that.
            if "invalid literal for int" in str(error):
                continue
            say(seed, i, "Caw takes what Python refuses: %s" % error, text)
        if not same(type(message).FromString(data), want):
            say(seed, i, "Caw reads another message from damaged text", text)
    return taken


def main():
    peer, protos, work = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 6000
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    os.makedirs(work, exist_ok=True)
    classes = load(protos, work)
    taken = 0
    portion = 1000
    for start in range(0, count, portion):
        rng = random.Random(seed + start)
        maker = JsonMaker(rng, classes[0])
        messages = [make(maker, classes, i) for i in range(min(portion, count - start))]
        to_json(peer, messages, rng, seed + start)
        texts = from_json(peer, messages, rng, seed + start)
        taken += damaged(peer, messages, texts, rng, seed + start)
    print("%d messages each way, and as many damaged (%d taken), seed %d: no difference" % (count, taken, seed))


if __name__ == "__main__":
    main()
