"""pika under load: the same rows, the same line of JSON at the end as the programs in Rust."""

import argparse
import json
import resource
import time

import pika

EXCHANGE = "bench.events"
KEY = "bench.order.placed"
BODY = b"x" * 256

parser = argparse.ArgumentParser()
parser.add_argument("row", choices=["publish", "consume"])
parser.add_argument("--url")
parser.add_argument("--queue")
parser.add_argument("--events", type=int, default=20_000)
parser.add_argument("--window", type=int, default=1000)
parser.add_argument("--prefetch", type=int, default=250)
parser.add_argument("--ack-every", type=int, default=25)
parser.add_argument("--rate", type=int, default=1000)
parser.add_argument("--style")
parser.add_argument("--broker")
args = parser.parse_args()


def own_us():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return round((usage.ru_utime + usage.ru_stime) * 1e6)


def broker_us():
    """CPU time of another process, in µs, in steps of 10 ms."""
    with open(f"/proc/{args.broker}/stat", encoding="utf-8") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 10_000


class Meter:
    def __init__(self):
        self.broker = broker_us() if args.broker else None
        self.own = own_us()
        self.start = time.monotonic()

    def finish(self):
        report = {
            "events": args.events,
            "seconds": time.monotonic() - self.start,
            "clientUs": own_us() - self.own,
        }
        if self.broker is not None:
            report["brokerUs"] = broker_us() - self.broker
        return report


class Row:
    """One row, on pika's own loop of callbacks: its blocking adapter waits for each confirm."""

    def __init__(self):
        self.report = None
        self.connection = pika.SelectConnection(
            pika.URLParameters(args.url),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
            on_open_error_callback=self.failed,
            on_close_callback=lambda connection, _: connection.ioloop.stop(),
        )

    def failed(self, _connection, error):
        raise error

    def done(self):
        self.report = self.meter.finish()
        self.connection.close()

    def run(self):
        self.connection.ioloop.start()
        if self.report is None:
            raise RuntimeError("the connection ended first")
        print(json.dumps(self.report))


class Publish(Row):
    """Keeps the window full."""

    def opened(self, channel):
        self.channel = channel
        self.properties = pika.BasicProperties(delivery_mode=2)
        self.sent = 0
        self.prefix = 0
        self.early = set()
        channel.confirm_delivery(self.confirmed, lambda _: self.begin())

    def begin(self):
        self.meter = Meter()
        self.fill()

    def fill(self):
        count = self.prefix + len(self.early)
        while self.sent < args.events and self.sent - count < args.window:
            self.sent += 1
            self.channel.basic_publish(EXCHANGE, KEY, BODY, self.properties)

    def confirmed(self, frame):
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            raise RuntimeError("refused")
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            self.prefix = max(self.prefix, tag)
            self.early = {early for early in self.early if early > tag}
        elif tag == self.prefix + 1:
            self.prefix = tag
        else:
            self.early.add(tag)
        while self.prefix + 1 in self.early:
            self.prefix += 1
            self.early.remove(self.prefix)
        if self.prefix == args.events:
            self.done()
        else:
            self.fill()


class Consume(Row):
    """Takes what is there, many deliveries to an acknowledgement."""

    def opened(self, channel):
        self.channel = channel
        self.seen = 0
        self.acked = 0
        channel.basic_qos(prefetch_count=args.prefetch, callback=lambda _: self.begin())

    def begin(self):
        self.meter = Meter()
        self.channel.basic_consume(args.queue, self.take)

    def take(self, channel, method, _properties, _body):
        self.seen += 1
        if self.seen - self.acked >= args.ack_every or self.seen == args.events:
            channel.basic_ack(method.delivery_tag, multiple=True)
            self.acked = self.seen
        if self.seen == args.events:
            self.done()


{"publish": Publish, "consume": Consume}[args.row]().run()
