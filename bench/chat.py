"""The part `chat` of the benchmark: chatd, with gRPC C++'s fan-out and a bare SQLite loop
beside it. run.py calls part() and tables()."""
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

SUBSCRIBERS, CONNECTIONS, FANOUT = 1000, 10, 500
SENDERS, OUTSTANDING, SENDS = 64, 16, 60000
BATCH = 1000  # rows in a transaction of the bare loop: as many as a turn of chatd has at most
IDLE, IDLE_CONNECTIONS = 10000, 100
MILLION = 1000000


class Chat:
    """A server on its core; a load that says "ready", and works when told to."""

    def __init__(self, tools, command, address=None):
        self.tools = tools
        self.process = subprocess.Popen(["taskset", "-c", tools.SERVER_CORE, *map(str, command)],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.address = address or re.search(r"listening on (\S+)", line).group(1)

    def cpu(self):
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def rss_mib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"^VmRSS:\s+(\d+)", file.read(), re.M).group(1)) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)

    def load(self, *args):
        """What the load printed, and the server's CPU seconds meanwhile."""
        child = subprocess.Popen(
            ["taskset", "-c", self.tools.LOAD_CORE, self.tools.BIN / "bench-chat-load",
             *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if child.stdout.readline() != "ready\n":
            raise SystemExit(f"bench-chat-load {args} did not get ready")
        begun = self.cpu()
        out, _ = child.communicate("go\n", timeout=300)
        return json.loads(out), self.cpu() - begun


class Chatd(Chat):
    def __init__(self, tools, folder):
        super().__init__(tools, [tools.BIN / "chatd", "--no-log", "--listen", "127.0.0.1:0",
                                 "--data", folder])
        self.home = tempfile.mkdtemp(prefix="caw-bench-")

    def chat(self, *args, text=None):
        env = dict(os.environ, XDG_CONFIG_HOME=self.home, CHAT_SERVER=self.address)
        done = subprocess.run([self.tools.BIN / "chat", *args], env=env, input=text, text=True,
                              capture_output=True, check=True)
        return done.stdout

    def begin(self):
        """Somebody who is logged in, in a room; the token, and the room's number."""
        self.chat("register", "bench", text="a long password\n")
        room = int(self.chat("create", "bench").split()[0])
        with open(f"{self.home}/chat/logins", encoding="utf-8") as file:
            return file.read().split()[2], room

    def stop(self):
        super().stop()
        shutil.rmtree(self.home)


def fanout(tools, folder):
    server = Chatd(tools, f"{folder}/fanout")
    token, room = server.begin()
    got, cpu = server.load("fanout", server.address, token, room, CONNECTIONS, SUBSCRIBERS, FANOUT)
    server.stop()
    peer = Chat(tools, [tools.BIN / "bench-cpp-fanout"])
    theirs, their_cpu = peer.load("fanout", peer.address, "x", 1, CONNECTIONS, SUBSCRIBERS, FANOUT)
    peer.stop()
    return {"caw": got["deliveries"] / cpu, "cpp": theirs["deliveries"] / their_cpu}


def alone(tools, folder):
    done = subprocess.run(["taskset", "-c", tools.SERVER_CORE, tools.BIN / "bench-store", folder,
                           "alone", str(SENDS), str(BATCH)], capture_output=True, text=True,
                          check=True)
    return float(done.stdout)


def sends(tools, folder, repeats):
    """Interleaved with the bare loop, since disks vary from hour to hour."""
    runs = []
    for i in range(repeats):
        server = Chatd(tools, f"{folder}/sends{i}")
        token, room = server.begin()
        got, cpu = server.load("sends", server.address, token, room, SENDERS, OUTSTANDING, SENDS)
        server.stop()
        rate, bare = got["sent"] / got["seconds"], alone(tools, folder)
        runs.append({"rate": rate, "bare": bare, "ratio": rate / bare, "p50_us": got["p50_us"],
                     "p99_us": got["p99_us"], "cpu_us": cpu / got["sent"] * 1e6})
    return sorted(runs, key=lambda run: run["ratio"])[len(runs) // 2]


def idle(tools, folder):
    server = Chatd(tools, f"{folder}/idle")
    token, room = server.begin()
    rest = server.rss_mib()
    child = subprocess.Popen(
        ["taskset", "-c", tools.LOAD_CORE, tools.BIN / "bench-chat-load", "idle", server.address,
         token, str(room), str(IDLE_CONNECTIONS), str(IDLE)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    if child.stdout.readline() != "ready\n":
        raise SystemExit("bench-chat-load idle did not get ready")
    held = server.rss_mib()
    child.communicate("go\n")
    server.stop()
    return {"rest": rest, "held": held}


def start(tools, folder):
    data = f"{folder}/million"
    os.mkdir(data)
    subprocess.run([tools.BIN / "bench-store", data, "fill", str(MILLION)], check=True,
                   capture_output=True)
    times = []
    for _ in range(3):
        begun = time.monotonic()
        server = Chatd(tools, data)  # has said where it listens
        times.append(time.monotonic() - begun)
        server.stop()
    return {"seconds": statistics.median(times)}


def part(tools, repeats):
    build = tools.BUILD / "chat"
    shutil.rmtree(build, ignore_errors=True)
    os.makedirs(build)
    fans = [fanout_of(tools, build, i) for i in range(repeats)]
    found = {"chat fanout": {name: statistics.median(f[name] for f in fans)
                             for name in ("caw", "cpp")},
             "chat sends": sends(tools, build, max(3, repeats)),
             "chat idle": idle(tools, build), "chat start": start(tools, build)}
    shutil.rmtree(build)
    return found


def fanout_of(tools, build, i):
    folder = build / f"fan{i}"
    os.mkdir(folder)
    return fanout(tools, folder)


def goal(met):
    return "met" if met else "**not met**"


def tables(f, table, number):
    if "chat fanout" not in f:
        return []
    fan, send = f["chat fanout"], f["chat sends"]
    held, begun = f["chat idle"], f["chat start"]
    rows = [
        [f"deliveries a second of server CPU, {SUBSCRIBERS:,} subscribers on {CONNECTIONS} "
         "connections", number(fan["caw"]), "200,000", goal(fan["caw"] >= 200000),
         f"gRPC C++, nothing kept: {number(fan['cpp'])}"],
        [f"durable sends a second, {SENDERS} senders with {OUTSTANDING} outstanding each",
         number(send["rate"]), f"60 % of {number(send['bare'])}", goal(send["ratio"] >= 0.6),
         f"{100 * send['ratio']:.0f} % of a bare SQLite loop with the same schema, {BATCH:,} rows "
         f"in a transaction; p50 {send['p50_us'] / 1000:.1f} ms, p99 {send['p99_us'] / 1000:.1f} "
         f"ms, server CPU {send['cpu_us']:.1f} us each"],
        [f"resident MiB with {IDLE:,} idle Subscribe streams on {IDLE_CONNECTIONS} connections",
         number(held["held"]), "60", goal(held["held"] < 60), f"{number(held['rest'])} at rest"],
        ["seconds to start with a million messages", number(begun["seconds"]), "1",
         goal(begun["seconds"] < 1), "until it listens"],
    ]
    return ["", "### chatd, on one core", "",
            *table(["figure", "now", "goal", "", "beside it"], rows)]
