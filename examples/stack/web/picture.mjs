// `npm run picture -- FOLDER`: the pictures of the READMEs. Two people, an admin's numbers, a link that was cut and mended.
import { join } from "node:path";

import { pay, shows, System } from "./system.mjs";

const folder = process.argv[2] ?? "../../../docs";
const system = await System.start();
try {
  const vendor = await system.person("vendor");
  const look = { viewport: { width: 1240, height: 1040 }, deviceScaleFactor: 2, colorScheme: "light" };
  const customer = await system.person("customer", look);
  await customer.click("#watch");
  for (let n = 1; n <= 24; n += 1) await pay(customer, `Tickets, line ${n}`, `${n}.50`);
  await shows(vendor, "#rooms", "payment:");
  await customer.click("#cut");
  await pay(customer, "A day pass", "7.40");
  await shows(customer, "#socket", "lost");
  await customer.click("#cut");
  await shows(customer, "#socket", "connected as");
  await shows(customer, "#link-log", "Back");
  await shows(customer, "#rooms", ", ");
  // The button no longer under the pointer.
  await customer.mouse.move(0, 0);
  const rooms = customer.locator("section", { has: customer.locator("#rooms") });
  await rooms.screenshot({ path: join(folder, "rooms.png") });
  await pay(customer, "Two tickets, line 7", "12.50");
  await shows(customer, "#payments", "completed");
  await customer.evaluate(() => scrollTo(0, 0));
  await customer.screenshot({ path: join(folder, "live.png"), scale: "css" });
} finally {
  await system.stop();
}
