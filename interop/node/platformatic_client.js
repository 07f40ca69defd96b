// @platformatic/kafka: see ../program_test.go for what the verbs do.
const { Consumer, Producer } = require('@platformatic/kafka')
const { wanted, show, byCodec, same, within, dispatch } = require('./records')

const connect = (broker) => ({ clientId: 'interop-platformatic', bootstrapBrokers: [broker], autocreateTopics: false })

async function write(broker, ...topics) {
  const records = wanted()
  const producer = new Producer({ ...connect(broker), idempotent: true, acks: -1 })
  for (const [codec, topic] of byCodec(topics)) {
    const messages = records.map((r) => ({
      topic,
      partition: 0,
      timestamp: BigInt(r.timestamp),
      key: r.key ?? undefined,
      value: r.value ?? undefined,
      headers: new Map(r.headers.map(([name, value]) => [Buffer.from(name), value])), // buffers are keys by identity, so names may repeat
    }))
    const sent = await producer.send({ messages, compression: codec })
    same('offset', sent.offsets[0].offset, 0)
  }
  await producer.close()
  return topics.length * records.length
}

// Joins a group and takes count records of topics from their beginning.
async function take(broker, groupId, topics, count, each) {
  const consumer = new Consumer({ ...connect(broker), groupId, sessionTimeout: 30000, heartbeatInterval: 500, maxWaitTime: 250 })
  const stream = await consumer.consume({ topics, mode: 'earliest', autocommit: false })
  let seen = 0
  await within(
    (async () => {
      for await (const message of stream) {
        each(message, seen)
        if (++seen === count) return message.commit()
      }
      throw new Error(`the stream ended after ${seen} records`)
    })(),
  )
  await consumer.close(true)
}

async function read(broker, count, ...topics) {
  const total = count * topics.length
  await take(broker, `read-${process.pid}-${Date.now()}`, topics, total, (m) =>
    show(m.topic, m.offset, m.timestamp, m.key, m.value, m.headerEntries),
  )
  return total
}

async function group(broker, topic, name) {
  let total = 0
  const producer = new Producer({ ...connect(broker), idempotent: true, acks: -1 })
  for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    const messages = []
    for (let i = 0; i < 50; i++, total++) messages.push({ topic, partition: 0, key: Buffer.from(String(total)), value: Buffer.from('x'.repeat(200) + total) })
    const sent = await producer.send({ messages, compression })
    same('offset', sent.offsets[0].offset, total - 50)
  }
  await producer.close()
  await take(broker, name, [topic], total, (m, seen) => same('record', [m.offset, m.key], [seen, seen]))
  return total
}

dispatch({ write, read, group })
