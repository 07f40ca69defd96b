import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Writes 50 records with each codec through the Java producer, idempotent as by default, reads them
 * back as a group and commits. Arguments: group protocol, broker, topic, group.
 */
public class JavaClient {
    public static void main(String[] args) throws Exception {
        String protocol = args[0], broker = args[1], topic = args[2], group = args[3];
        int total = 0;
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            Map<String, Object> config = Map.of("bootstrap.servers", broker, "compression.type", codec, "linger.ms", 5);
            try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
                var sent = new ArrayList<java.util.concurrent.Future<org.apache.kafka.clients.producer.RecordMetadata>>();
                for (int i = 0; i < 50; i++) {
                    sent.add(producer.send(new ProducerRecord<>(topic, 0, "" + total, codec + " value " + "x".repeat(200) + total)));
                    total++;
                }
                long first = total - 50;
                for (int i = 0; i < 50; i++) {
                    if (sent.get(i).get().offset() != first + i) {
                        throw new IllegalStateException("offset " + sent.get(i).get().offset() + ", want " + (first + i));
                    }
                }
            }
        }
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", broker, "group.id", group, "group.protocol", protocol,
            "auto.offset.reset", "earliest", "enable.auto.commit", "false"));
        long deadline = System.currentTimeMillis() + 100_000;
        int seen = 0;
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            while (seen < total && System.currentTimeMillis() < deadline) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(200))) {
                    if (r.offset() != seen || !r.key().equals("" + seen) || !r.value().endsWith("x" + seen)) {
                        throw new IllegalStateException("record " + r + ", want offset " + seen);
                    }
                    seen++;
                }
            }
            consumer.commitSync();
        }
        if (seen != total) {
            throw new IllegalStateException(seen + " records of " + total);
        }
        System.out.println("ok " + total);
    }
}
