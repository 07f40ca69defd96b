import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main methods of Kafka's tools one after the other in one JVM, because starting a JVM costs
 * more than most tools do. Each line of standard input is a call: class name, standard input and
 * arguments, every field in Base64 with a dot behind it (a field may be empty), separated by blanks.
 * Each line of standard output is its result: exit status, standard output, standard error. It is for
 * tools that end by Kafka's Exit or by returning, not for those that need the end of their JVM.
 */
public class ToolDriver {
    /** Leaves a tool's main method; only its first exit counts. */
    private static class Exited extends Error {
        Exited() {
            super("exit", null, false, false);
        }
    }

    private static int status;
    private static boolean exited;

    private static void exit(int code) {
        if (!exited) {
            exited = true;
            status = code;
            // What the tool prints while it is being unwound, a process would not have printed.
            PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());
            System.setOut(nowhere);
            System.setErr(nowhere);
        }
        throw new Exited();
    }

    private static String field(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes) + ".";
    }

    private static byte[] bytes(String field) {
        return Base64.getDecoder().decode(field.substring(0, field.length() - 1));
    }

    public static void main(String[] argv) throws Exception {
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        List<Runnable> hooks = new ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        PrintStream results = System.out, errors = System.err;
        System.setOut(errors);
        BufferedReader calls = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = calls.readLine(); line != null; line = calls.readLine()) {
            String[] fields = line.split(" ");
            String[] args = Arrays.stream(fields).skip(2).map(f -> new String(bytes(f), StandardCharsets.UTF_8)).toArray(String[]::new);
            ByteArrayOutputStream out = new ByteArrayOutputStream(), err = new ByteArrayOutputStream();
            System.setIn(new ByteArrayInputStream(bytes(fields[1])));
            PrintStream toOut = new PrintStream(out, true, StandardCharsets.UTF_8), toErr = new PrintStream(err, true, StandardCharsets.UTF_8);
            System.setOut(toOut);
            System.setErr(toErr);
            status = 0;
            exited = false;
            try {
                Class.forName(new String(bytes(fields[0]), StandardCharsets.UTF_8)).getMethod("main", String[].class).invoke(null, (Object) args);
            } catch (InvocationTargetException e) {
                if (!exited) {
                    status = 1; // as the JVM ends after an uncaught exception
                    e.getCause().printStackTrace();
                }
            }
            // Where the JVM would end: the console producer sends the rest of its batches here.
            System.setOut(toOut);
            System.setErr(toErr);
            hooks.forEach(Runnable::run);
            hooks.clear();
            System.setOut(errors); // for what a thread of the tool says too late
            System.setErr(errors);
            results.println(status + ". " + field(out.toByteArray()) + " " + field(err.toByteArray()));
            results.flush();
        }
        Runtime.getRuntime().halt(0); // whatever threads the tools left behind
    }
}
