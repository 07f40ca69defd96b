import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints every record the Java consumer gets of some topics, from the beginning to where they end now: partition,
 * offset, leader epoch, time, and hex of key, value and headers.
 *
 *   TopicDump BROKER ISOLATION TOPIC...
 */
public class TopicDump {
    public static void main(String[] args) {
        Map<String, Object> config = Map.of("bootstrap.servers", args[0], "isolation.level", args[1], "enable.auto.commit", "false",
            "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            var partitions = new ArrayList<TopicPartition>();
            for (String topic : List.of(args).subList(2, args.length)) {
                consumer.partitionsFor(topic).forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
            }
            partitions.sort(Comparator.comparing(TopicPartition::toString));
            var ends = consumer.endOffsets(partitions);
            for (TopicPartition p : partitions) {
                consumer.assign(List.of(p));
                consumer.seekToBeginning(List.of(p));
                long deadline = System.currentTimeMillis() + 60_000;
                while (consumer.position(p) < ends.get(p)) {
                    if (System.currentTimeMillis() > deadline) {
                        throw new IllegalStateException(p + ": at " + consumer.position(p) + " of " + ends.get(p));
                    }
                    consumer.poll(Duration.ofMillis(200)).forEach(r -> System.out.println(line(p, r)));
                }
                System.out.println(p + " ends at " + ends.get(p));
            }
        }
    }

    private static String line(TopicPartition p, ConsumerRecord<byte[], byte[]> r) {
        var line = new StringBuilder(p + " " + r.offset() + " epoch " + r.leaderEpoch().orElse(-1) + " " + r.timestampType() + " " + r.timestamp());
        line.append(' ').append(hex(r.key())).append(' ').append(hex(r.value()));
        for (Header h : r.headers()) {
            line.append(' ').append(h.key()).append('=').append(hex(h.value()));
        }
        return line.toString();
    }

    private static String hex(byte[] b) {
        if (b == null) {
            return "-";
        }
        var hex = new StringBuilder("'");
        for (byte x : b) {
            hex.append(Character.forDigit(x >> 4 & 15, 16)).append(Character.forDigit(x & 15, 16));
        }
        return hex.append('\'').toString();
    }
}
