import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { startDevice } from "./support/device.mjs";
import { answered, ask, assertQuiet, launch, open } from "./support/page.mjs";

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

test("an answer streams, and its tokens show where they came from", async () => {
  await ask(page, "A lost letter.");
  await answered(page);
  const text = await page.locator(".text").innerText();
  assert.ok(text.startsWith("Once there was a letter") && text.endsWith("forty years ago."), text);
  const drafted = await page.locator(".token.drafted").count();
  const own = await page.locator(".token.own").count();
  assert.ok(drafted > 20 && own > 10, `${drafted} drafted, ${own} own`);
  const [draftedColour, ownColour] = await page.evaluate(() =>
    [".token.drafted", ".token.own"].map((name) => getComputedStyle(document.querySelector(name)).backgroundColor),
  );
  assert.notEqual(draftedColour, ownColour);
  assertQuiet(page);
});

test("the picture shows bytes, first token, rounds, waterfall and wire", async () => {
  await ask(page, "A lost letter.");
  await answered(page);
  const picture = page.getByRole("complementary", { name: "What leaves the device" });
  await picture.getByText("86.0 ms").waitFor();
  assert.match(await picture.locator(".wire-arrow.up").innerText(), /kB up/);
  assert.ok((await picture.locator(".waterfall rect").count()) >= 8);
  assert.match(await picture.locator(".rounds").getAttribute("aria-label"), /round trips/);
  assert.equal(await picture.locator(".wire li").count(), 12);
});

test("the waterfall shows one round, and steps to the next", async () => {
  await ask(page, "A lost letter.");
  await answered(page);
  await page.getByRole("button", { name: "One round" }).click();
  const first = await page.locator(".waterfall").getAttribute("aria-label");
  await page.getByRole("button", { name: "Later round" }).click();
  assert.notEqual(await page.locator(".waterfall").getAttribute("aria-label"), first);
});

test("the wire view points at the token it stands for, and shows all of a row when asked", async () => {
  await ask(page, "A lost letter.");
  await answered(page);
  const row = page.locator(".wire li button").nth(4);
  const shown = (await row.locator("q").evaluate((quote) => quote.textContent)).trim();
  await row.focus();
  assert.equal((await page.locator(".token.pointed").innerText()).trim(), shown);
  await page.keyboard.press("Enter");
  assert.equal(await row.getAttribute("aria-expanded"), "true");
  assert.match(await row.locator("code").innerText(), /^([0-9a-f]{4} ){31}[0-9a-f]{4}$/);
});

test("a second question carries the conversation, and its picture can be changed back", async () => {
  await ask(page, "A lost letter.");
  await answered(page, 1);
  await ask(page, "And then?");
  await answered(page, 2);
  const roles = device.state.requests[1].messages.map((message) => message.role);
  assert.deepEqual(roles, ["user", "assistant", "user"]);
  assert.match(await page.locator(".figures").innerText(), /12\s*of 23 tokens/);
  await page.getByRole("button", { name: "Show its picture" }).click();
  assert.match(await page.locator(".figures").innerText(), /0\s*of 23 tokens/);
});

test("settings go into the request", async () => {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("System prompt").fill("Be brief.");
  await page.getByLabel("Temperature").fill("0");
  await page.getByLabel("Tokens at most").fill("32");
  await ask(page, "A lost letter.");
  await answered(page);
  const { model, messages, temperature, max_tokens: maxTokens, stream } = device.state.requests[0];
  assert.deepEqual({ model, temperature, maxTokens, stream }, { model: "story-7b", temperature: 0, maxTokens: 32, stream: true });
  assert.deepEqual(messages[0], { role: "system", content: "Be brief." });
});

test("colouring can be turned off", async () => {
  await ask(page, "A lost letter.");
  await answered(page);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Colour drafted tokens").uncheck();
  const colour = await page.evaluate(() => getComputedStyle(document.querySelector(".token.drafted")).backgroundColor);
  assert.equal(colour, "rgba(0, 0, 0, 0)");
});

test("an endpoint without the extension is still a chat", async () => {
  device.state.answer = "plain";
  await ask(page, "A lost letter.");
  await answered(page);
  assert.match(await page.locator(".text").innerText(), /forty years ago\.$/);
  assert.equal(await page.locator(".token.drafted").count(), 0);
  await page.getByText("sends no trace").waitFor();
  assertQuiet(page);
});

test("text that looks like markup stays text", async () => {
  await ask(page, "<img src=x onerror=alert(1)><b>bold</b>");
  await answered(page);
  assert.match(await page.locator(".question").innerText(), /<img src=x onerror=alert\(1\)><b>bold<\/b>/);
  assertQuiet(page);
});

test("the end of an answer is followed, unless the reader goes up", async () => {
  Object.assign(device.state, { answer: "endless", pace: 5 });
  await ask(page, "Go on for ever.");
  const log = page.getByRole("region", { name: "Conversation" });
  const rest = () => log.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
  await page.locator(".token").nth(600).waitFor();
  assert.ok((await rest()) < 100);
  await log.hover();
  await page.mouse.wheel(0, -300);
  const longer = (await page.locator(".token").count()) + 300;
  await page.locator(".token").nth(longer).waitFor();
  assert.ok((await rest()) > 250);
  await page.keyboard.press("Escape");
});

test("a new chat forgets the old one", async () => {
  await ask(page, "A lost letter.");
  await answered(page);
  await page.getByRole("button", { name: "New chat" }).click();
  assert.equal(await page.locator(".exchange").count(), 0);
  await ask(page, "Another.");
  await answered(page);
  assert.equal(device.state.requests[1].messages.length, 1);
});
