"""A server process under calls for hours: all kinds of call, deadlines, cancels, a part over
TLS, on channels that come and go, by a client that stays and others that are ended or killed
and start anew. Nothing fails, memory does not grow, descriptors come back.

SOAK_SECONDS (7,200), SOAK_CALLS (20,000,000), SOAK_CHANNELS (200,000) say how much. A line a
minute says where it is. Exit code 1 when something is wrong, with the reason."""
import os
import signal
import sys
import time

import harness

SECONDS = int(os.environ.get("SOAK_SECONDS", "7200"))
CALLS = int(os.environ.get("SOAK_CALLS", "20000000"))
CHANNELS = int(os.environ.get("SOAK_CHANNELS", "200000"))
MIB = 1024 * 1024

# Memory is RSS: PSS changes when others come and go that share the libraries. The slope is that
# of least squares over what follows the warm-up, a fifth of the time. In a run of minutes what
# the allocator keeps after a moment of much at once counts as much an hour: such a run may grow
# by NOISE in all. In one of seconds nothing is warm yet.
SLOPE = 1 * MIB  # an hour
NOISE = 0 if SECONDS >= 1800 else 2 * MIB if SECONDS >= 60 else 1024 * MIB
WARM = 0.2


class Process:
    """What a process takes, from /proc, over time."""

    def __init__(self, name, child):
        self.name, self.child = name, child
        self.samples = []  # (seconds, bytes of RSS, descriptors)

    def sample(self, now):
        folder = f"/proc/{self.child.process.pid}"
        try:
            with open(folder + "/smaps_rollup", encoding="ascii") as file:
                rss = next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss:"))
            self.samples.append((now, rss, len(os.listdir(folder + "/fd"))))
        except (OSError, StopIteration):
            pass  # it has ended

    def warm(self):
        begin = self.samples[0][0] + WARM * (self.samples[-1][0] - self.samples[0][0])
        return [s for s in self.samples if s[0] >= begin]

    def slope(self):
        """Bytes an hour, and bytes over all that was looked at."""
        xs = [s[0] for s in self.warm()]
        ys = [s[1] for s in self.warm()]
        x0, y0 = sum(xs) / len(xs), sum(ys) / len(ys)
        square = sum((x - x0) ** 2 for x in xs)
        per_second = sum((x - x0) * (y - y0) for x, y in zip(xs, ys)) / square
        return per_second * 3600, per_second * (xs[-1] - xs[0])

    def report(self):
        slope, growth = self.slope()
        fds = [s[2] for s in self.warm()]
        third = max(1, len(fds) // 3)
        first, last = max(fds[:third]), max(fds[-third:])
        print(f"{self.name}: {self.samples[-1][1] / MIB:.2f} MiB, slope {slope / MIB:+.3f} MiB/h "
              f"({growth / 1024:+.0f} KiB in all), descriptors {first} at first, {last} at last")
        bad = []
        if slope > SLOPE and growth > NOISE:
            bad.append(f"the {self.name}'s memory grows by {slope / MIB:.2f} MiB an hour")
        if last > first + 16:
            bad.append(f"the {self.name} had {first} descriptors at first, and {last} at last")
        return bad


class Client(harness.Child):
    """Makes calls; knows how many there were."""

    def __init__(self, targets, calls, channels, seconds):
        super().__init__(harness.program("peer-soak"), *targets, str(calls), str(channels),
                         str(seconds))

    def progress(self):
        with self.arrived:
            lines = [line for line in self.lines if line.startswith("calls ")]
            del self.lines[:-2]  # a line a second, for hours
            self.taken = 0
        if not lines:
            return 0, 0, 0
        return tuple(int(part.split()[1]) for part in lines[-1].split(", "))


class Soak:
    def __init__(self):
        self.server = harness.Server("peer-honest", "server",
                                     *(["tls"] if "CAW_GRPC_TESTDATA" in os.environ else []))
        self.targets = [self.server.address, self.server.address]
        if "CAW_GRPC_TESTDATA" in os.environ:
            self.targets[1] = self.server.wait_line(r"^listening on (.+)$").group(1)
        self.restarts, self.gone, self.bad, self.longest = 0, [0, 0, 0], [], 0

    def start_other(self):
        """One that comes and goes: a tenth as much again, in some sixty lives."""
        self.life = max(2, SECONDS // 60)
        parts = max(1, SECONDS // self.life)
        self.other = Client(self.targets, max(CALLS // 10 // parts, 100),
                            max(CHANNELS // 10 // parts, 1), self.life)
        self.born = time.monotonic()

    def end_other(self):
        """Every second time it is killed in the midst of it."""
        if self.restarts % 2:
            if self.other.process.poll() is None:
                self.other.signal(signal.SIGTERM)
            errors = self.other.wait(self.other.process.wait(harness.TIMEOUT))
            if errors:
                self.bad.append(f"a client that came and went: {errors}")
            done = self.other.progress()
        else:
            done = self.other.progress()
            self.other.kill()
        self.gone = [a + b for a, b in zip(self.gone, done)]
        self.restarts += 1

    def totals(self):
        now = self.other.progress() if self.other else (0, 0, 0)
        return [sum(x) for x in zip(self.main.progress(), now, self.gone)]

    def run(self):
        begin = time.monotonic()
        base = Process("server", self.server)
        base.sample(0)
        self.main = Client(self.targets, CALLS, CHANNELS, SECONDS)
        watched = [Process("server", self.server), Process("client", self.main)]
        self.start_other()
        step, minute, last, moved = max(0.5, SECONDS / 720), 0, 0, begin
        while self.main.process.poll() is None:
            before = time.monotonic()
            time.sleep(step)
            now = time.monotonic()
            self.note_pause(now - begin, now - before - step)
            for process in watched:
                process.sample(now - begin)
            if now - self.born > self.life * (0.9 if self.restarts % 2 else 0.6):
                self.end_other()
                self.start_other()
            calls = self.totals()[0]
            if calls != last:
                last, moved = calls, now
            if now - moved > 60:
                self.bad.append("no call has ended for a minute")
                break
            if (now - begin) // 60 > minute:
                minute = int((now - begin) // 60)
                self.say(minute, watched)
        self.finish(watched, base, time.monotonic() - begin)

    def note_pause(self, at, late):
        """We ran late: so did everybody, and failures at that time may be the machine's."""
        self.longest = max(self.longest, late)
        if late > 2:
            print(f"     the machine stood still for {late:.1f} s until {at:.0f} s", flush=True)

    def say(self, minute, watched):
        calls, channels, failed = self.totals()
        state = ", ".join(f"{p.name} {p.samples[-1][1] / MIB:.2f} MiB, {p.samples[-1][2]} descriptors"
                          for p in watched)
        print(f"{minute:4} min: {calls} calls, {channels} channels, {failed} failed, "
              f"{self.restarts} restarts; {state}", flush=True)

    def finish(self, watched, base, took):
        if self.main.process.poll() is None:
            self.main.kill()
        else:
            errors = self.main.wait(self.main.process.returncode)
            if self.main.process.returncode:
                self.bad.append(f"the client ended with {self.main.process.returncode}: {errors}")
        self.restarts |= 1  # the last ends well
        self.end_other()
        self.other = None
        calls, channels, failed = self.totals()
        for process in watched:
            self.bad += process.report()
        before = base.samples[0][2]
        for _ in range(100):
            base.sample(took)
            if base.samples[-1][2] <= before:
                break
            time.sleep(0.1)
        if base.samples[-1][2] > before:
            self.bad.append(f"the server has {base.samples[-1][2]} descriptors when all have gone, "
                            f"not {before}")
        self.server.stop()
        if failed:
            self.bad.append(f"{failed} calls failed")
        if calls < CALLS or channels < CHANNELS:
            self.bad.append(f"{calls} calls and {channels} channels are fewer than were asked for")
        print(f"{took:.0f} s, {calls} calls, {channels} channels, {failed} failed, "
              f"{self.restarts} restarts of clients; server's descriptors {before} before, "
              f"{base.samples[-1][2]} after; longest pause of the machine {self.longest:.2f} s")


def main():
    soak = Soak()
    soak.run()
    for reason in soak.bad:
        print("WRONG:", reason)
    sys.exit(1 if soak.bad else 0)


main()
