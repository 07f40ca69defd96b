"""confluent-kafka (librdkafka): see program_test.go for what the verbs do."""
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from records import by_codec, dispatch, same, show, wanted


def produce(broker, codec, topic, records):
    """Writes records with idempotence and checks that they got the offsets 0 and on."""
    producer = Producer({"bootstrap.servers": broker, "compression.type": codec, "enable.idempotence": True, "linger.ms": 20})
    offsets, errors = [], []

    def delivered(error, message):
        errors.append(error) if error else offsets.append(message.offset())

    for r in records:
        producer.produce(topic, partition=0, on_delivery=delivered, **r)
    if producer.flush(100) or errors:
        sys.exit(f"records were not delivered: {errors}")
    return offsets


def write(broker, *topics):
    records = wanted()
    for codec, topic in by_codec(topics):
        same("offsets", produce(broker, codec, topic, records), list(range(len(records))))
    print("ok", len(records) * len(topics))


def poll(consumer, count):
    deadline = time.time() + 100
    while count:
        if time.time() > deadline:
            sys.exit(f"{count} records are missing")
        message = consumer.poll(0.2)
        if message is not None and not message.error():
            count -= 1
            yield message


def read(broker, count, *topics):
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "unused", "enable.auto.commit": False, "fetch.wait.max.ms": 100})
    consumer.assign([TopicPartition(t, 0, OFFSET_BEGINNING) for t in topics])
    for m in poll(consumer, int(count) * len(topics)):
        show(m.topic(), m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers())
    consumer.close()
    print("ok", int(count) * len(topics))


def group(broker, topic, name):
    total = 0
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        records = [{"key": str(total + i), "value": f"{codec} {'x' * 200}{total + i}"} for i in range(50)]
        same("offsets", produce(broker, codec, topic, records), list(range(total, total + 50)))
        total += 50
    consumer = Consumer({"bootstrap.servers": broker, "group.id": name, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    for seen, message in enumerate(poll(consumer, total)):
        same("record", (message.offset(), message.key()), (seen, str(seen).encode()))
    consumer.commit(asynchronous=False)
    consumer.close()
    print("ok", total)


dispatch(write=write, read=read, group=group)
