"""Writes 50 records per codec with kafka-python, reads them back as a group, commits."""
import sys

from kafka import KafkaConsumer, KafkaProducer

broker, topic, group = sys.argv[1:4]
total = 0
for codec in (None, "gzip", "snappy", "lz4", "zstd"):
    producer = KafkaProducer(bootstrap_servers=broker, compression_type=codec, acks="all", linger_ms=5)
    sent = [producer.send(topic, key=str(total + i).encode(), value=f"{codec} {'x' * 200}{total + i}".encode(), partition=0) for i in range(50)]
    for i, future in enumerate(sent):
        if future.get(60).offset != total + i:
            sys.exit(f"offset {future.get().offset}, want {total + i}")
    total += 50
    producer.close()

consumer = KafkaConsumer(topic, bootstrap_servers=broker, group_id=group, auto_offset_reset="earliest",
                         enable_auto_commit=False, consumer_timeout_ms=100_000)
seen = 0
for message in consumer:
    if message.offset != seen or message.key != str(seen).encode():
        sys.exit(f"offset {message.offset} key {message.key}, want {seen}")
    seen += 1
    if seen == total:
        break
consumer.commit()
consumer.close()
print("ok" if seen == total else "short", seen)
