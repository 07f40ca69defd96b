import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The verbs write and read of program_test.go for the Java client; records go in and out as in
 * python/records.py. Compiled against the oldest client.
 */
public class JavaRecords {
    public static void main(String[] args) throws Exception {
        List<String> rest = List.of(args).subList(2, args.length);
        int total = args[0].equals("write") ? write(args[1], rest) : read(args[1], Integer.parseInt(rest.get(0)), rest.subList(1, rest.size()));
        System.out.println("ok " + total);
    }

    private static byte[] bytes(String field) {
        if (field.equals("-")) {
            return null;
        }
        byte[] bytes = new byte[field.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(field.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }

    private static String field(byte[] bytes) {
        if (bytes == null) {
            return "-";
        }
        StringBuilder hex = new StringBuilder(2 * bytes.length);
        for (byte b : bytes) {
            hex.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        return hex.toString();
    }

    private static int write(String broker, List<String> topics) throws Exception {
        List<String> lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines().collect(Collectors.toList());
        for (String pair : topics) {
            String codec = pair.substring(0, pair.indexOf('='));
            Map<String, Object> config = Map.of("bootstrap.servers", broker, "compression.type", codec, "linger.ms", 20, "acks", "all");
            try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
                var sent = new ArrayList<Future<RecordMetadata>>();
                for (String line : lines) {
                    sent.add(producer.send(parse(pair.substring(codec.length() + 1), line)));
                }
                for (int i = 0; i < sent.size(); i++) {
                    if (sent.get(i).get().offset() != i) {
                        throw new IllegalStateException("offset " + sent.get(i).get().offset() + ", want " + i);
                    }
                }
            }
        }
        return lines.size() * topics.size();
    }

    private static ProducerRecord<byte[], byte[]> parse(String topic, String line) {
        String[] fields = line.split("\t", -1);
        var headers = new RecordHeaders();
        for (int i = 5; i < fields.length; i += 2) {
            headers.add(new String(bytes(fields[i]), StandardCharsets.UTF_8), bytes(fields[i + 1]));
        }
        return new ProducerRecord<>(topic, 0, Long.parseLong(fields[2]), bytes(fields[3]), bytes(fields[4]), headers);
    }

    private static int read(String broker, int count, List<String> topics) {
        List<TopicPartition> partitions = topics.stream().map(topic -> new TopicPartition(topic, 0)).collect(Collectors.toList());
        int total = count * topics.size();
        long deadline = System.currentTimeMillis() + 100_000;
        Map<String, Object> config = Map.of("bootstrap.servers", broker, "enable.auto.commit", "false");
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            for (int seen = 0; seen < total; ) {
                if (System.currentTimeMillis() > deadline) {
                    throw new IllegalStateException(seen + " records of " + total);
                }
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
                    show(r);
                    seen++;
                }
            }
        }
        return total;
    }

    private static void show(ConsumerRecord<byte[], byte[]> r) {
        StringBuilder line = new StringBuilder();
        line.append(r.topic()).append('\t').append(r.offset()).append('\t').append(r.timestamp());
        line.append('\t').append(field(r.key())).append('\t').append(field(r.value()));
        for (Header h : r.headers()) {
            line.append('\t').append(field(h.key().getBytes(StandardCharsets.UTF_8))).append('\t').append(field(h.value()));
        }
        System.out.println(line);
    }
}
