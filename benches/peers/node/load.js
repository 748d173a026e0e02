// amqplib under load: the same rows, the same line of JSON at the end as the programs in Rust.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import amqp from "amqplib";

const EXCHANGE = "bench.events";
const KEY = "bench.order.placed";
const BODY = Buffer.alloc(256, "x");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ["url", "queue", "events", "window", "prefetch", "ack-every", "rate", "style", "broker"].map((name) => [
      name,
      { type: "string" },
    ]),
  ),
});
const events = Number(values.events ?? 20_000);
const window = Number(values.window ?? 1000);
const prefetch = Number(values.prefetch ?? 250);
const ackEvery = Number(values["ack-every"] ?? 25);

/** CPU time of another process, in µs, in steps of 10 ms. */
function brokerUs() {
  if (values.broker === undefined) return undefined;
  const stat = readFileSync(`/proc/${values.broker}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function meter() {
  const [own, broker, start] = [process.cpuUsage(), brokerUs(), process.hrtime.bigint()];
  return () => {
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const used = process.cpuUsage(own);
    const report = { events, seconds, clientUs: used.user + used.system };
    if (broker !== undefined) report.brokerUs = brokerUs() - broker;
    return report;
  };
}

/** Keeps the window full. */
async function publish(connection) {
  const channel = await connection.createConfirmChannel();
  const finish = meter();
  let sent = 0;
  let confirmed = 0;
  await new Promise((done, failed) => {
    const fill = () => {
      while (sent < events && sent - confirmed < window) {
        sent += 1;
        channel.publish(EXCHANGE, KEY, BODY, { persistent: true }, (error) => {
          if (error) return failed(error);
          confirmed += 1;
          if (confirmed === events) done();
          else fill();
        });
      }
    };
    fill();
  });
  return finish();
}

/** Takes what is there, many deliveries to an acknowledgement. */
async function consume(connection) {
  const channel = await connection.createChannel();
  await channel.prefetch(prefetch);
  const finish = meter();
  let seen = 0;
  let acked = 0;
  await new Promise((done, failed) => {
    const take = (message) => {
      if (message === null) return failed(new Error("the consumer was cancelled"));
      seen += 1;
      if (seen - acked >= ackEvery || seen === events) {
        channel.ack(message, true);
        acked = seen;
      }
      if (seen === events) done();
    };
    channel.consume(values.queue, take).catch(failed);
  });
  return finish();
}

const rows = { publish, consume };
const row = rows[positionals[0]];
if (row === undefined) throw new Error(`no such row: ${positionals[0]}`);
const connection = await amqp.connect(values.url);
const report = await row(connection);
console.log(JSON.stringify(report));
await connection.close();
