import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Writes 50 records with each codec through the Java producer, half of them idempotent, reads them back as
 * a group in two sittings, seeks, asks for offsets by time, and manages a topic and a group of its own.
 * It uses what all versions of the client from 2.1 on have, and is compiled against that one.
 * Arguments: group protocol, broker, topic (one partition, empty), group.
 */
public class JavaClient {
    /** An hour ago: older than the retention, and the broker may take the records away before they are read. */
    private static final long BASE_TIME = System.currentTimeMillis() - 3_600_000;
    private static final long DEADLINE = System.currentTimeMillis() + 100_000;

    private final String protocol, broker, topic, group;

    JavaClient(String[] args) {
        protocol = args[0];
        broker = args[1];
        topic = args[2];
        group = args[3];
    }

    public static void main(String[] args) throws Exception {
        JavaClient client = new JavaClient(args);
        int total = 0;
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            for (boolean idempotent : new boolean[] {true, false}) {
                total = client.produce(codec, idempotent, total, 25);
            }
        }
        client.consume(total);
        client.administrate();
        System.out.println("ok " + total);
    }

    private static void want(String what, Object got, Object wanted) {
        if (!wanted.equals(got)) {
            throw new IllegalStateException(what + ": " + got + ", want " + wanted);
        }
    }

    /** Record n of the topic has offset n, key n, and BASE_TIME + n for its time. */
    private int produce(String codec, boolean idempotent, int from, int count) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", broker, "compression.type", codec, "linger.ms", 5,
            "enable.idempotence", idempotent, "acks", idempotent ? "all" : "1");
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            var sent = new ArrayList<Future<RecordMetadata>>();
            for (int i = from; i < from + count; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, 0, BASE_TIME + i, "" + i, codec + " value " + "x".repeat(200) + i)));
            }
            for (int i = 0; i < count; i++) {
                want("offset", sent.get(i).get().offset(), (long) from + i);
            }
        }
        return from + count;
    }

    private KafkaConsumer<String, String> consumer() {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", broker, "group.id", group,
            "auto.offset.reset", "earliest", "enable.auto.commit", "false", "max.poll.records", 20));
        if (!protocol.equals("classic")) {
            config.put("group.protocol", protocol);
        }
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    /** Polls until record number last has come; the next to come is number next. */
    private static void readUpTo(KafkaConsumer<String, String> consumer, int next, int last) {
        while (next <= last) {
            if (System.currentTimeMillis() > DEADLINE) {
                throw new IllegalStateException("record " + next + " did not come");
            }
            for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(200))) {
                if (r.offset() != next || !r.key().equals("" + next) || !r.value().endsWith("x" + next) || r.timestamp() != BASE_TIME + next) {
                    throw new IllegalStateException("record " + r + ", want offset " + next);
                }
                next++;
            }
        }
    }

    private void consume(int total) {
        TopicPartition partition = new TopicPartition(topic, 0);
        int half = total / 2;
        try (var consumer = consumer()) {
            consumer.subscribe(List.of(topic));
            readUpTo(consumer, 0, half);
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(half, "half")));
        }
        try (var consumer = consumer()) {
            consumer.subscribe(List.of(topic));
            readUpTo(consumer, half, total - 1);
            want("position", consumer.position(partition), (long) total);
            consumer.commitSync();
            want("partitions", consumer.partitionsFor(topic).size(), 1);
            want("beginning", consumer.beginningOffsets(Set.of(partition)), Map.of(partition, 0L));
            want("end", consumer.endOffsets(Set.of(partition)), Map.of(partition, (long) total));
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, BASE_TIME + 77)).get(partition);
            want("offset for a time", found.offset(), 77L);
            want("its time", found.timestamp(), BASE_TIME + 77);
            want("offset for a time to come", consumer.offsetsForTimes(Map.of(partition, BASE_TIME + total)), Collections.singletonMap(partition, null));
            consumer.seek(partition, total - 30);
            readUpTo(consumer, total - 30, total - 1);
            consumer.seekToBeginning(Set.of(partition));
            readUpTo(consumer, 0, 40);
            consumer.commitAsync(Map.of(partition, new OffsetAndMetadata(total, "all")), null);
        }
    }

    private interface Check {
        boolean done() throws Exception;
    }

    /** A broker may answer a change before every request sees it. */
    private static void eventually(String what, Check check) throws Exception {
        while (!check.done()) {
            if (System.currentTimeMillis() > DEADLINE) {
                throw new IllegalStateException(what);
            }
            Thread.sleep(20);
        }
    }

    private void administrate() throws Exception {
        String own = topic + "-own";
        TopicPartition first = new TopicPartition(own, 0);
        try (AdminClient admin = AdminClient.create(Map.of("bootstrap.servers", broker))) {
            want("nodes", admin.describeCluster().nodes().get().size(), 1);
            admin.createTopics(List.of(new NewTopic(own, 1, (short) 1).configs(Map.of("retention.ms", "7654321")))).all().get();
            try {
                admin.createTopics(List.of(new NewTopic(own, 1, (short) 1))).all().get();
                throw new IllegalStateException("the topic was created twice");
            } catch (ExecutionException e) {
                want("error", e.getCause().getClass(), TopicExistsException.class);
            }
            eventually("the topic is not listed", () -> admin.listTopics().names().get().contains(own));
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, own);
            want("config", admin.describeConfigs(Set.of(resource)).all().get().get(resource).get("retention.ms").value(), "7654321");
            admin.createPartitions(Map.of(own, NewPartitions.increaseTo(3))).all().get();

            try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", broker), new StringSerializer(), new StringSerializer())) {
                eventually("three partitions", () -> producer.partitionsFor(own).size() == 3);
                for (int i = 0; i < 9; i++) {
                    producer.send(new ProducerRecord<>(own, 0, "k", "v")).get();
                }
            }
            want("low watermark", admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(first).get().lowWatermark(), 4L);
            Map<String, Object> config = Map.of("bootstrap.servers", broker, "group.id", group + "-own", "enable.auto.commit", "false");
            try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
                want("beginning", consumer.beginningOffsets(Set.of(first)), Map.of(first, 4L));
                consumer.assign(Set.of(first));
                consumer.commitSync(Map.of(first, new OffsetAndMetadata(6, "six")));
            }
            Set<String> groups = new HashSet<>();
            admin.listConsumerGroups().all().get().forEach(g -> groups.add(g.groupId()));
            want("groups listed", groups.containsAll(Set.of(group, group + "-own")), true);
            want("committed", admin.listConsumerGroupOffsets(group + "-own").partitionsToOffsetAndMetadata().get().get(first), new OffsetAndMetadata(6, "six"));
            want("members", admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().size(), 0);
            admin.deleteConsumerGroups(List.of(group + "-own")).all().get();
            try {
                admin.deleteConsumerGroups(List.of(group + "-own")).all().get();
                throw new IllegalStateException("the group was deleted twice");
            } catch (ExecutionException e) {
                want("error", e.getCause().getClass(), GroupIdNotFoundException.class);
            }
            admin.deleteTopics(List.of(own)).all().get();
            eventually("the topic is still listed", () -> !admin.listTopics().names().get().contains(own));
        }
    }
}
