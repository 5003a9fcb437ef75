"""Clients that call a Greeter without a pause, and count what fails: Python's and ours."""
import threading
import time

import harness
from harness import TIMEOUT, grpc

import greeter_pb2 as pb
import greeter_pb2_grpc as stubs


class Load:
    """Python's client, which calls without a pause: unary and streams."""

    def __init__(self, address, threads=6):
        self.channel = harness.channel_to(address)
        self.stub = stubs.GreeterStub(self.channel)
        self.ending = False
        self.done = 0
        self.failures = []
        self.lock = threading.Lock()
        kinds = [self.unary, self.unary, self.stream]
        self.threads = [threading.Thread(target=self.run, args=(kinds[i % 3],), daemon=True)
                        for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def unary(self):
        reply = self.stub.SayHello(pb.HelloRequest(name="L"), timeout=TIMEOUT)
        return reply.message == "Hello, L!"

    def stream(self):
        replies = self.stub.SayHelloStream(pb.HelloRequest(name="L"), timeout=TIMEOUT)
        return len(list(replies)) == 5

    def run(self, call):
        while not self.ending:
            try:
                failure = None if call() else "the wrong reply"
            except grpc.RpcError as error:
                failure = f"{error.code()}: {error.details()}"
            with self.lock:
                self.done += 1
                if failure:
                    self.failures.append(failure)

    def wait(self, more):
        """Until so many more calls are done."""
        end = time.monotonic() + TIMEOUT
        goal = self.done + more
        while self.done < goal and time.monotonic() < end:
            time.sleep(0.005)
        if self.done < goal:
            raise AssertionError(f"{self.done} calls, not {goal}; {self.failures[-5:]}")

    def stop(self):
        self.ending = True
        for thread in self.threads:
            thread.join(TIMEOUT)
        self.channel.close()
        return self.failures


class Steady(harness.Child):
    """Our client, which does the same."""

    def __init__(self, address):
        super().__init__(*harness.command("peer-steady", address))
        self.wait_line(r"^done [1-9]")

    def more(self):
        self.wait_line("^done ")
        self.wait_line("^done ")

    def failures(self):
        self.stop()
        last = self.wait_line(r"^(\d+) calls, (\d+) failed$")
        return int(last[1]), int(last[2]), [x for x in self.lines if x.startswith("failed")]


class Case(harness.Case):
    def load(self, address):
        load, steady = Load(address), Steady(address)
        self.addCleanup(lambda: None if load.ending else load.stop())
        self.addCleanup(lambda: None if steady.checked else steady.stop())
        load.wait(20)
        return load, steady

    def check(self, load, steady):
        load.wait(20)
        steady.more()
        self.assertEqual(load.stop(), [])
        calls, failed, lines = steady.failures()
        self.assertEqual((failed, lines), (0, []))
        self.assertGreater(calls, 100)

    def hello(self, address):
        with harness.channel_to(address) as channel:
            reply = stubs.GreeterStub(channel).SayHello(pb.HelloRequest(name="L"), timeout=TIMEOUT)
        self.assertEqual(reply.message, "Hello, L!")
