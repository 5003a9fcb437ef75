#!/usr/bin/python3
"""Caw's protobuf runtime against Python's: random messages both ways.

usage: differential.py PEER PROTO_DIR WORK_DIR [COUNT [SEED]]

Python makes messages, Caw decodes and encodes them, Python compares; a third of
them Caw decodes as a type that lacks most of the fields. Then Caw makes
messages, Python parses and serializes them, Caw compares. A failure names the
seed, with which the run can be repeated.
"""
import os
import random
import re
import struct
import subprocess
import sys
import warnings

EVERYTHING, NARROW, LEGACY = 0, 1, 2


def load(protos, work):
    """Python's classes of the test messages."""
    names = ["everything.proto", "other/imported.proto", "legacy.proto"]
    subprocess.run(["protoc", "--python_out=" + work, "-I" + protos] + names, check=True)
    sys.path.insert(0, work)
    import everything_pb2
    import legacy_pb2

    return everything_pb2, legacy_pb2


def integers(rng, bits, signed):
    def make():
        v = rng.getrandbits(rng.randint(1, bits))
        kind = rng.random()
        if kind < 0.1:
            v = 1 << rng.randrange(bits)
        elif kind < 0.2:
            v = (1 << bits) - 1
        if signed and v >= 1 << (bits - 1):
            v -= 1 << bits
        return v

    return make


class Maker:
    """Random messages of Python's types."""

    def __init__(self, rng):
        self.rng = rng
        self.plans = {}
        self.maps = True  # fill them
        words = ["", "a", "text", "ä", "€uro", "😀", "x" * 130, "\x00", "longer text " * 5]
        doubles = [0.0, -0.0, 1.5, -1e300, 5e-324, float("inf"), float("nan")]
        floats = [0.0, -0.0, 1.5, -2.5e30, float("-inf"), float("nan")]
        i32, u32 = integers(rng, 32, True), integers(rng, 32, False)
        i64, u64 = integers(rng, 64, True), integers(rng, 64, False)
        self.makers = {
            1: lambda: rng.choice(doubles),
            2: lambda: rng.choice(floats),
            3: i64, 4: u64, 5: i32, 6: u64, 7: u32,
            8: lambda: rng.random() < 0.5,
            9: lambda: rng.choice(words),
            12: lambda: rng.getrandbits(8 * rng.randrange(1, 9)).to_bytes(8, "big"),
            13: u32, 15: i32, 16: i64, 17: i32, 18: i64,
        }

    def value(self, field):
        if field.type != field.TYPE_ENUM:
            return self.makers[field.type]
        numbers = [v.number for v in field.enum_type.values]
        if field.file.syntax == "proto3":
            numbers += [5, -5, 1 << 30]
        return lambda: self.rng.choice(numbers)

    def plan(self, descriptor):
        """A list of functions that set one field each."""
        if descriptor in self.plans:
            return self.plans[descriptor]
        plan = self.plans[descriptor] = []
        for field in descriptor.fields:
            plan.append(self.setter(field))
        return plan

    def setter(self, field):
        name, rng = field.name, self.rng
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            return self.map_setter(field)
        if field.label == field.LABEL_REPEATED:
            if kind is not None:
                def many(message, depth):
                    for _ in range(rng.randrange(3) if depth else 0):
                        self.fill(getattr(message, name).add(), depth - 1)
                return many
            value = self.value(field)
            return lambda message, depth: getattr(message, name).extend(
                [value() for _ in range(rng.randrange(5))])
        if kind is not None:
            def one(message, depth):
                if depth:
                    sub = getattr(message, name)
                    sub.SetInParent()
                    self.fill(sub, depth - 1)
            return one
        value = self.value(field)
        return lambda message, depth: setattr(message, name, value())

    def map_setter(self, field):
        name, rng = field.name, self.rng
        entry = field.message_type.fields_by_name
        key, value_field = self.value(entry["key"]), entry["value"]
        if value_field.message_type is None:
            value = self.value(value_field)

            def numbers(message, depth):
                for _ in range(rng.randrange(4) if self.maps else 0):
                    getattr(message, name)[key()] = value()
            return numbers

        def messages(message, depth):
            for _ in range(rng.randrange(3) if depth and self.maps else 0):
                self.fill(getattr(message, name)[key()], depth - 1)
        return messages

    def fill(self, message, depth):
        plan = self.plan(message.DESCRIPTOR)
        most = min(len(plan), 8 if depth == 3 else 4)
        for set_field in self.rng.sample(plan, self.rng.randint(0, most)):
            set_field(message, depth)


def frame(kind, data):
    return struct.pack("<II", kind, len(data)) + data


def frames(data):
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<iI", data, at)
        at += 8
        yield kind, data[at:at + size]
        at += size


def fail(seed, number, what, *datas):
    print("differential.py: seed %d, message %d: %s" % (seed, number, what))
    for data in datas:
        print("  " + data.hex())
    sys.exit(1)


def from_python(peer, classes, count, seed):
    everything, legacy = classes
    rng = random.Random(seed)
    maker = Maker(rng)
    sent, out = [], []
    for i in range(count):
        message = legacy.Legacy() if i % 4 == 3 else everything.Everything()
        maker.fill(message, 3)
        if i % 4 == 3 and rng.random() < 0.3:
            message.Extensions[legacy.ext_number] = i
            message.Extensions[legacy.ext_strings].extend(["a", "b"])
            message.Extensions[legacy.ext_message].text = "extension"
        data = message.SerializePartialToString()
        if rng.random() < 0.25:
            # Two messages in a row are one, merged. No key may come twice in
            # a map: Python's own messages do not get over that.
            second = type(message)()
            maker.maps = False
            maker.fill(second, 2)
            maker.maps = True
            data += second.SerializePartialToString()
        sent.append((type(message), data))
        kind = LEGACY if i % 4 == 3 else NARROW if i % 4 == 2 else EVERYTHING
        out.append(frame(kind, data))
    run = subprocess.run([peer, "echo"], input=b"".join(out), stdout=subprocess.PIPE, check=True)
    number = 0
    for (rc, data), (kind, original) in zip(frames(run.stdout), sent):
        if rc:
            fail(seed, number, "Caw answers %d" % rc, original)
        want = kind.FromString(original)
        got = kind.FromString(data)
        a = want.SerializePartialToString(deterministic=True)
        b = got.SerializePartialToString(deterministic=True)
        if a != b:
            fail(seed, number, "changed on the way through Caw", original, data)
        number += 1
    if number != count:
        fail(seed, number, "only %d of %d answers" % (number, count))


def from_caw(peer, classes, count, seed):
    everything, legacy = classes
    made = subprocess.run([peer, "make", str(seed), str(count)], stdout=subprocess.PIPE, check=True)
    out = []
    for number, (kind, data) in enumerate(frames(made.stdout)):
        try:
            message = (everything.Everything if kind == EVERYTHING else legacy.Legacy).FromString(data)
        except Exception as error:
            fail(seed, number, "Python says %s" % error, data)
        out.append(frame(kind, message.SerializePartialToString()))
    if len(out) != count:
        fail(seed, len(out), "only %d of %d messages" % (len(out), count))
    run = subprocess.run([peer, "check", str(seed), str(count)], input=b"".join(out))
    if run.returncode:
        fail(seed, -1, "Caw finds a difference, see above")


# A tag of more than 32 bits: Caw refuses it, Python drops the bits.
LONG_TAG = re.compile(rb"[\x80-\xff]{4}[\x10-\x7f]")


def has_maps(message):
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            return True
        values = value if field.label == field.LABEL_REPEATED else [value]
        if any(has_maps(sub) for sub in values):
            return True
    return False


def damaged(peer, classes, count, seed):
    """Damaged bytes: both take them, or neither does. What they take is the
    same, except that Python keeps unknown fields of the entries of maps."""
    everything, legacy = classes
    rng = random.Random(seed)
    maker = Maker(rng)
    sent, out = [], []
    for i in range(count):
        kind = (EVERYTHING, everything.Everything) if i % 2 else (LEGACY, legacy.Legacy)
        message = kind[1]()
        maker.fill(message, 3)
        data = bytearray(message.SerializePartialToString())
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) + 1)
            action = rng.random()
            if action < 0.4:
                data[at:at + 1] = bytes([rng.choice([0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)])])
            elif action < 0.6:
                del data[at:at + rng.randint(1, 4)]
            elif action < 0.8:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 3)))
            else:
                data[at:at] = data[rng.randrange(len(data) + 1):][:rng.randint(1, 12)]
        sent.append((kind[1], bytes(data)))
        out.append(frame(kind[0], bytes(data)))
    run = subprocess.run([peer, "echo"], input=b"".join(out), stdout=subprocess.PIPE, check=True)
    taken = 0
    quiet = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libprotobuf tells each refusal
    for number, ((rc, data), (kind, original)) in enumerate(zip(frames(run.stdout), sent)):
        try:
            want = kind.FromString(original)
        except Exception:
            want = None
        if want is not None and rc and LONG_TAG.search(original):
            continue
        if (want is None) != (rc != 0):
            verb = "refuses" if want is None else "takes"
            fail(seed, number, "Caw answers %d, Python %s it" % (rc, verb), original)
        if want is not None and not has_maps(want):
            taken += 1
            a = want.SerializePartialToString(deterministic=True)
            b = kind.FromString(data).SerializePartialToString(deterministic=True)
            if a != b:
                fail(seed, number, "changed on the way through Caw", original, data)
    os.dup2(quiet, 2)
    os.close(quiet)
    return taken


def main():
    peer, protos, work = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 100000
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    os.makedirs(work, exist_ok=True)
    classes = load(protos, work)
    # Python stops at a stray end of a group, and only warns.
    warnings.simplefilter("error", RuntimeWarning)
    # In portions, so that neither side holds everything at once.
    portion, taken = 10000, 0
    for start in range(0, count, portion):
        from_python(peer, classes, min(portion, count - start), seed + start)
        from_caw(peer, classes, min(portion, count - start), seed + start)
        taken += damaged(peer, classes, min(portion, count - start) // 5, seed + start)
    print("%d messages each way and %d damaged ones (%d taken), seed %d: no difference"
          % (count, count // 5, taken, seed))


if __name__ == "__main__":
    main()
