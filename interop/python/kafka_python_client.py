"""kafka-python: see program_test.go for what the verbs do."""
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from records import by_codec, dispatch, same, show, wanted


def produce(broker, codec, topic, records):
    """Writes records and returns their offsets."""
    producer = KafkaProducer(bootstrap_servers=broker, compression_type=None if codec == "none" else codec, acks="all", linger_ms=20)
    sent = [
        producer.send(topic, partition=0, key=r["key"], value=r["value"], headers=r["headers"], timestamp_ms=r["timestamp"])
        for r in records
    ]
    offsets = [future.get(100).offset for future in sent]
    producer.close()
    return offsets


def write(broker, *topics):
    records = wanted()
    for codec, topic in by_codec(topics):
        same("offsets", produce(broker, codec, topic, records), list(range(len(records))))
    print("ok", len(records) * len(topics))


def take(consumer, count):
    """The next count records; the consumer's own timeout ends the wait."""
    for message in consumer:
        yield message
        count -= 1
        if count == 0:
            return
    sys.exit(f"{count} records are missing")


def read(broker, count, *topics):
    total = int(count) * len(topics)
    consumer = KafkaConsumer(bootstrap_servers=broker, consumer_timeout_ms=100_000, fetch_max_wait_ms=100, enable_auto_commit=False)
    partitions = [TopicPartition(t, 0) for t in topics]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    for m in take(consumer, total):
        show(m.topic, m.offset, m.timestamp, m.key, m.value, m.headers)
    consumer.close()
    print("ok", total)


def group(broker, topic, name):
    total = 0
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        records = [
            {"key": str(total + i).encode(), "value": f"{codec} {'x' * 200}{total + i}".encode(), "headers": [], "timestamp": None}
            for i in range(50)
        ]
        same("offsets", produce(broker, codec, topic, records), list(range(total, total + 50)))
        total += 50
    consumer = KafkaConsumer(topic, bootstrap_servers=broker, group_id=name, auto_offset_reset="earliest",
                             enable_auto_commit=False, consumer_timeout_ms=100_000)
    for seen, message in enumerate(take(consumer, total)):
        same("record", (message.offset, message.key), (seen, str(seen).encode()))
    consumer.commit()
    consumer.close()
    print("ok", total)


dispatch(write=write, read=read, group=group)
