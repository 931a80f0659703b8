import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { startDevice } from "./support/device.mjs";
import { answered, assertQuiet, launch, open } from "./support/page.mjs";

let browser, device, page;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  device = await startDevice();
  page = await open(browser, device.url);
});
afterEach(async () => {
  await page.context().close();
  await device.stop();
});

const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.id);

test("a conversation needs the keyboard only", async () => {
  assert.equal(await focused(), "question");
  await page.keyboard.type("A lost");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("letter.");
  await page.keyboard.press("Enter");
  await answered(page);
  assert.equal(device.state.requests[0].messages[0].content, "A lost\nletter.");
  assert.equal(await focused(), "question");
  assertQuiet(page);
});

test("Escape stops the answer, on the device too", async () => {
  Object.assign(device.state, { answer: "endless", pace: 5 });
  await page.keyboard.type("Go on for ever.");
  await page.keyboard.press("Enter");
  await page.locator(".token").nth(10).waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("stopped", { exact: true }).waitFor();
  while (device.state.aborted === 0) await page.waitForTimeout(10);
  assert.equal(await page.getByRole("button", { name: "Send" }).count(), 1);
});

test("every control can be reached by Tab, is named, and shows its focus", async () => {
  await page.keyboard.type("A lost letter.");
  await page.keyboard.press("Enter");
  await answered(page);
  await page.locator("body").evaluate(() => document.activeElement.blur());
  const expected = await page.locator("button:enabled:visible, input:visible, textarea:visible").count();
  const seen = new Set();
  for (let step = 0; step < expected + 8; step += 1) {
    await page.keyboard.press("Tab");
    const control = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return null;
      const outline = getComputedStyle(element);
      const field = element.closest(".field");
      return {
        place: [...document.querySelectorAll("*")].indexOf(element),
        isControl: element.matches("button, input, textarea"),
        name: (element.getAttribute("aria-label") ?? element.labels?.[0]?.innerText ?? element.innerText).trim(),
        visible: outline.outlineStyle !== "none" || (field !== null && getComputedStyle(field).boxShadow !== "none"),
      };
    });
    if (!control) continue;
    assert.ok(control.name !== "" && control.visible, JSON.stringify(control));
    if (control.isControl) seen.add(control.place);
  }
  assert.equal(seen.size, expected);
});
