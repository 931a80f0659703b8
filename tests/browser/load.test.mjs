import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startDevice } from "./support/device.mjs";
import { assertQuiet, launch, open } from "./support/page.mjs";

const BUDGET = 300_000;
let browser, device;
before(async () => {
  browser = await launch();
  device = await startDevice();
});
after(async () => {
  await browser.close();
  await device.stop();
});

test("the page loads without complaints and asks nobody but its device", async () => {
  const page = await open(browser, device.url);
  await page.getByText("story-7b").waitFor();
  assertQuiet(page);
});

test("all that is loaded keeps to the size", async (t) => {
  const page = await open(browser, device.url);
  const { bytes, paint } = await page.evaluate(async () => {
    const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const paints = performance.getEntriesByType("paint");
    return { bytes: entries.reduce((sum, entry) => sum + entry.decodedBodySize, 0), paint: paints.at(-1)?.startTime };
  });
  // Reported, not judged: time depends on the machine.
  t.diagnostic(`${bytes} bytes in all, first contentful paint after ${paint?.toFixed(0)} ms`);
  assert.ok(bytes > 10_000 && bytes < BUDGET, `${bytes} bytes`);
});

test("nothing is stored in the browser", async () => {
  const page = await open(browser, device.url);
  await page.getByRole("button", { name: "A lost letter." }).click();
  await page.locator(".footer").waitFor();
  const stored = await page.evaluate(async () => ({
    local: localStorage.length,
    session: sessionStorage.length,
    cookies: document.cookie,
    databases: (await indexedDB.databases()).length,
  }));
  assert.deepEqual(stored, { local: 0, session: 0, cookies: "", databases: 0 });
});
