"""aiokafka: see program_test.go for what the verbs do."""
import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from records import by_codec, dispatch, same, show, wanted


async def produce(broker, codec, topic, records):
    """Writes records with idempotence and returns their offsets."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, compression_type=None if codec == "none" else codec,
                                enable_idempotence=True, linger_ms=20)
    await producer.start()
    sent = [
        await producer.send(topic, partition=0, key=r["key"], value=r["value"], headers=r["headers"], timestamp_ms=r["timestamp"])
        for r in records
    ]
    offsets = [(await asyncio.wait_for(future, 100)).offset for future in sent]
    await producer.stop()
    return offsets


async def write(broker, *topics):
    records = wanted()
    for codec, topic in by_codec(topics):
        same("offsets", await produce(broker, codec, topic, records), list(range(len(records))))
    print("ok", len(records) * len(topics))


async def read(broker, count, *topics):
    total = int(count) * len(topics)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False, fetch_max_wait_ms=100)
    await consumer.start()
    partitions = [TopicPartition(t, 0) for t in topics]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    for _ in range(total):
        m = await asyncio.wait_for(consumer.getone(), 100)
        show(m.topic, m.offset, m.timestamp, m.key, m.value, m.headers)
    await consumer.stop()
    print("ok", total)


async def group(broker, topic, name):
    total = 0
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        records = [
            {"key": str(total + i).encode(), "value": f"{codec} {'x' * 200}{total + i}".encode(), "headers": [], "timestamp": None}
            for i in range(50)
        ]
        same("offsets", await produce(broker, codec, topic, records), list(range(total, total + 50)))
        total += 50
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, group_id=name, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    for seen in range(total):
        message = await asyncio.wait_for(consumer.getone(), 100)
        same("record", (message.offset, message.key), (seen, str(seen).encode()))
    await consumer.commit()
    await consumer.stop()
    print("ok", total)


asyncio.run(dispatch(write=write, read=read, group=group))
