"""Writes 50 records per codec with confluent-kafka (librdkafka), reads them back as a group, commits."""
import sys
import time

from confluent_kafka import Consumer, Producer

broker, topic, group = sys.argv[1:4]
total = 0
for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    producer = Producer({"bootstrap.servers": broker, "compression.type": codec, "enable.idempotence": True})
    for _ in range(50):
        producer.produce(topic, key=str(total), value=f"{codec} {'x' * 200}{total}", partition=0)
        total += 1
    if producer.flush(60):
        sys.exit("records were not delivered")

consumer = Consumer({"bootstrap.servers": broker, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False})
consumer.subscribe([topic])
seen, deadline = 0, time.time() + 100
while seen < total and time.time() < deadline:
    message = consumer.poll(0.2)
    if message is None or message.error():
        continue
    if message.offset() != seen or message.key() != str(seen).encode():
        sys.exit(f"offset {message.offset()} key {message.key()}, want {seen}")
    seen += 1
consumer.commit(asynchronous=False)
consumer.close()
print("ok" if seen == total else "short", seen)
