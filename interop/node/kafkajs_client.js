// Writes 50 records without and with gzip (kafkajs brings no other codec), reads them back as a group
// and commits.
const { Kafka, CompressionTypes, logLevel } = require('kafkajs')

const [broker, topic, group] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'interop-node', brokers: [broker], logLevel: logLevel.NOTHING })

async function main() {
  let total = 0
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    const messages = []
    for (let i = 0; i < 50; i++, total++) {
      messages.push({ key: String(total), value: 'x'.repeat(200) + total, partition: 0, headers: { h: 'v' } })
    }
    const [sent] = await producer.send({ topic, compression, acks: -1, messages })
    if (Number(sent.baseOffset) !== total - 50) throw new Error(`base offset ${sent.baseOffset}, want ${total - 50}`)
  }
  await producer.disconnect()

  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 30000, maxWaitTimeInMs: 250 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let seen = 0
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${seen} records of ${total}`)), 100000)
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        if (Number(message.offset) !== seen || message.key.toString() !== String(seen)) reject(new Error(`offset ${message.offset}, want ${seen}`))
        if (++seen === total) {
          clearTimeout(timer)
          resolve()
        }
      },
    }).catch(reject)
  })
  await consumer.commitOffsets([{ topic, partition: 0, offset: String(total) }])
  await consumer.disconnect()
  console.log('ok', total)
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
