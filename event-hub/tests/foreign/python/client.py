"""A foreign client: pika, and the CloudEvents SDK of Python.

    client.py publish URL EXCHANGE KEY MODE    sends a few events, confirmed, and prints each as a JSON line
    client.py read URL QUEUE COUNT MODE        takes so many, and prints what it understood of each

Modes: plain (JSON and nothing else), structured and binary (the SDK's binding for RabbitMQ), amqp (its binding
for AMQP, binary, whose headers some send over RabbitMQ too).
"""

import json
import sys
from datetime import datetime, timezone

import pika
from cloudevents.core.bindings import amqp, rabbitmq
from cloudevents.core.v1.event import CloudEvent

DATA = [{"n": 0, "text": "plain"}, {"n": 1, "text": "größer €uro 🚊", "deep": [[], {"x": None}]}, {"n": 2, "big": 2**53 - 1}]
TIME = datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=timezone.utc)


def attributes(kind, n):
    return {
        "id": f"python-{kind}-{n}",
        "source": "/pika",
        "type": kind,
        "time": TIME,
        "datacontenttype": "application/json",
        "subject": f"subject {n}",
        "partitionkey": "k",
        "dataversion": 1,
        "tracestate": "vendor=1",
        "comexampleflag": "yes",
    }


def message(mode, kind, n):
    """The body and the properties of one event."""
    said = attributes(kind, n)
    if mode == "plain":
        said["specversion"] = "1.0"
        said["time"] = TIME.isoformat()
        said["data"] = DATA[n]
        # A client that knows JSON and nothing else says no content type.
        return json.dumps(said).encode(), pika.BasicProperties(delivery_mode=2)
    said["specversion"] = "1.0"
    event = CloudEvent(said, DATA[n])
    if mode == "amqp":
        sent = amqp.to_binary_event(event)
        return sent.application_data, pika.BasicProperties(
            content_type=sent.properties["content-type"], headers=sent.application_properties, delivery_mode=2
        )
    sent = rabbitmq.to_structured_event(event) if mode == "structured" else rabbitmq.to_binary_event(event)
    return sent.body, pika.BasicProperties(content_type=sent.content_type, headers=sent.headers, delivery_mode=2)


def publish(channel, exchange, kind, mode):
    channel.confirm_delivery()
    for n, data in enumerate(DATA):
        body, properties = message(mode, kind, n)
        # Raises when it is nacked or returned.
        channel.basic_publish(exchange, kind, body, properties, mandatory=True)
        print(json.dumps({"id": f"python-{kind}-{n}", "data": data}), flush=True)


def understood(mode, properties, body):
    if mode == "plain":
        return json.loads(body)
    headers = {name: str(value) for name, value in (properties.headers or {}).items()}
    event = rabbitmq.from_rabbitmq_event(rabbitmq.RabbitMQMessage(headers, properties.content_type, body))
    said = {name: v.isoformat() if isinstance(v, datetime) else v for name, v in event.get_attributes().items()}
    return {**said, "data": event.get_data()}


def read(channel, queue, count, mode):
    channel.basic_qos(prefetch_count=count)
    taken = 0
    for method, properties, body in channel.consume(queue, inactivity_timeout=60):
        if method is None:
            sys.exit(f"only {taken} of {count} came")
        told = {
            "event": understood(mode, properties, body),
            "content_type": properties.content_type,
            "message_id": properties.message_id,
            "type": properties.type,
            "app_id": properties.app_id,
            "correlation_id": properties.correlation_id,
            "timestamp": properties.timestamp,
            "delivery_mode": properties.delivery_mode,
            "key": method.routing_key,
        }
        print(json.dumps(told), flush=True)
        channel.basic_ack(method.delivery_tag)
        taken += 1
        if taken == count:
            break
    channel.cancel()


def main():
    command, url, *rest = sys.argv[1:]
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    if command == "publish":
        publish(channel, *rest)
    else:
        queue, count, mode = rest
        read(channel, queue, int(count), mode)
    connection.close()


main()
