"""Writes 50 records per codec with aiokafka, reads them back as a group, commits."""
import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

broker, topic, group = sys.argv[1:4]


async def main():
    total = 0
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        producer = AIOKafkaProducer(bootstrap_servers=broker, compression_type=codec, enable_idempotence=True)
        await producer.start()
        for _ in range(50):
            sent = await producer.send_and_wait(topic, key=str(total).encode(), value=f"{codec} {'x' * 200}{total}".encode(), partition=0)
            if sent.offset != total:
                sys.exit(f"offset {sent.offset}, want {total}")
            total += 1
        await producer.stop()
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    for seen in range(total):
        message = await asyncio.wait_for(consumer.getone(), 100)
        if message.offset != seen or message.key != str(seen).encode():
            sys.exit(f"offset {message.offset} key {message.key}, want {seen}")
    await consumer.commit()
    await consumer.stop()
    print("ok", total)


asyncio.run(main())
