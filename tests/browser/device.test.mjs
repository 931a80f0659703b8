// The page on a real device, with a real cloud behind it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { answered, ask, assertQuiet, launch, open } from "./support/page.mjs";
import { TRICORN, start } from "./support/tricorn.mjs";

const skip = TRICORN ? false : "TRICORN does not name a binary";
let browser, cloud, device;
before(async () => {
  if (skip) return;
  browser = await launch();
  cloud = await start("cloud", "--model", "demo", "--listen", "127.0.0.1:0");
  device = await start("device", "--model", "demo", "--cloud", cloud.url, "--listen", "127.0.0.1:0", "--deadline", "5");
});
after(async () => {
  await browser?.close();
  await device?.stop();
  await cloud?.stop();
});

test("a conversation, with all of its picture", { skip }, async (t) => {
  const page = await open(browser, `${device.url}/`);
  const policy = (await page.request.get(device.url)).headers()["content-security-policy"];
  assert.match(policy, /default-src 'none'.*frame-ancestors 'none'/);
  await ask(page, "A lost letter.");
  await answered(page, 1);
  assert.ok((await page.locator(".text").innerText()).length > 100);
  assert.ok((await page.locator(".token.drafted").count()) > 0 && (await page.locator(".token.own").count()) > 0);
  assert.match(await page.locator(".wire-arrow.up").innerText(), /[1-9]\S*\s[kM]B up/);
  assert.match(await page.locator(".wire-arrow.down").innerText(), /[1-9]\S*\s[kM]B down/);
  assert.ok((await page.locator(".waterfall rect").count()) >= 4);
  assert.ok((await page.locator(".wire li").count()) >= 4);
  const row = page.locator(".wire li button").first();
  await row.click();
  assert.match(await row.locator("code").innerText(), /^([0-9a-f]{4} ){31}[0-9a-f]{4}$/);
  await ask(page, "And then?");
  await answered(page, 2);
  const reused = await page.locator(".figures div", { hasText: "Prompt reused" }).locator("dd").innerText();
  assert.match(reused, /^[1-9]/, "the first turn is not computed again");
  const paint = await page.evaluate(() => performance.getEntriesByType("paint").at(-1)?.startTime);
  t.diagnostic(`first contentful paint after ${paint?.toFixed(0)} ms`);
  assertQuiet(page);
});

test("Escape stops a long answer, and the next one is answered", { skip }, async () => {
  const page = await open(browser, `${device.url}/`);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Tokens at most").fill("1500");
  await page.getByLabel("Temperature").fill("2");
  await ask(page, "A very long story.");
  await page.locator(".token").first().waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".footer").first().waitFor();
  await page.getByLabel("Tokens at most").fill("20");
  await ask(page, "A short one.");
  await answered(page, 2);
  assertQuiet(page);
});

test("a prompt over the context is refused in words", { skip }, async () => {
  const page = await open(browser, `${device.url}/`);
  await ask(page, "word ".repeat(4000));
  await page.getByRole("alert").getByText("too long for this model").waitFor();
});

// The last one: it takes the cloud away.
test("without its cloud the device says so, and answers again once it is back", { skip }, async () => {
  const page = await open(browser, `${device.url}/`);
  const address = cloud.url.slice("http://".length);
  await cloud.stop();
  cloud = undefined;
  await ask(page, "A lost letter.");
  const alert = page.getByRole("alert");
  await alert.getByText("The cloud is out of reach").waitFor({ timeout: 60_000 });
  cloud = await start("cloud", "--model", "demo", "--listen", address);
  while ((await page.locator(".footer").count()) === 0) {
    const again = alert.getByRole("button", { name: "Try again" });
    if (await again.isVisible()) await again.click();
    await page.waitForTimeout(200);
  }
});
