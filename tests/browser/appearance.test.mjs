import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import axe from "axe-core";
import { startDevice } from "./support/device.mjs";
import { answered, ask, assertNoSidewaysScroll, assertQuiet, launch, open } from "./support/page.mjs";

let browser, device;
before(async () => {
  browser = await launch();
  device = await startDevice();
});
after(async () => {
  await browser.close();
  await device.stop();
});

/** Nothing that axe-core finds serious, contrast included. */
async function assertAccessible(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run());
  const bad = violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  assert.deepEqual(bad.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 90)).join(" | ")}`), []);
}

for (const colorScheme of ["light", "dark"]) {
  test(`the ${colorScheme} page is accessible, empty and with an answer`, async () => {
    const page = await open(browser, device.url, { colorScheme, reducedMotion: "reduce" });
    await assertAccessible(page);
    await page.getByRole("button", { name: "Settings" }).click();
    await ask(page, "A lost letter.");
    await answered(page);
    await assertAccessible(page);
    assertQuiet(page);
  });

  test(`a ${colorScheme} failure is accessible`, async () => {
    const page = await open(browser, device.url, { colorScheme, reducedMotion: "reduce" });
    device.state.answer = 503;
    await ask(page, "A lost letter.");
    await page.getByRole("alert").waitFor();
    device.state.answer = "traced";
    await assertAccessible(page);
  });
}

test("the colours follow the system until they are chosen", async () => {
  const page = await open(browser, device.url, { colorScheme: "dark" });
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await background();
  await page.getByRole("button", { name: "Dark colours" }).click();
  const light = await background();
  assert.notEqual(light, dark);
  await page.emulateMedia({ colorScheme: "light" });
  assert.equal(await background(), light);
});

for (const width of [320, 360, 768]) {
  test(`nothing is wider than a screen of ${width} pixels`, async () => {
    const page = await open(browser, device.url, { viewport: { width, height: 740 }, reducedMotion: "reduce" });
    await assertNoSidewaysScroll(page);
    await page.getByRole("button", { name: "Settings" }).click();
    await ask(page, `A lost letter. ${"x".repeat(200)}`);
    await answered(page);
    await assertNoSidewaysScroll(page);
    await page.getByRole("button", { name: "What leaves the device" }).click();
    await page.locator(".waterfall").waitFor();
    await assertNoSidewaysScroll(page);
    await assertAccessible(page);
  });
}

test("motion is reduced where that is asked for", async () => {
  const page = await open(browser, device.url, { reducedMotion: "reduce" });
  Object.assign(device.state, { answer: "endless", pace: 5 });
  await ask(page, "Go on for ever.");
  await page.locator(".token").nth(5).waitFor();
  const running = await page.evaluate(() => document.getAnimations().length);
  await page.keyboard.press("Escape");
  Object.assign(device.state, { answer: "traced", pace: 0 });
  assert.equal(running, 0);
});
