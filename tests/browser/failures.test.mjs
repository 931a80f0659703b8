import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { startDevice } from "./support/device.mjs";
import { answered, ask, launch, open } from "./support/page.mjs";

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

for (const [status, words] of [
  [503, ["The cloud is out of reach", "Try again in 5 s."]],
  [429, ["This device is busy", "64 requests wait already; try again later. Try again in 2 s."]],
]) {
  test(`status ${status} is told in words, and the question can be sent again`, async () => {
    device.state.answer = status;
    await ask(page, "A lost letter.");
    const alert = page.getByRole("alert");
    for (const each of words) await alert.getByText(each).waitFor();
    device.state.answer = "traced";
    await alert.getByRole("button", { name: "Try again" }).click();
    await answered(page);
    assert.equal(await page.locator(".exchange").count(), 1);
    assert.equal(await page.getByRole("alert").count(), 0);
    assert.equal(device.state.requests[1].messages.length, 1);
  });
}

test("the cloud's absence is seen beside the model's name", async () => {
  device.state.answer = 503;
  await ask(page, "A lost letter.");
  await page.locator(".model").getByText("cloud out of reach").waitFor();
});

for (const [cloud, words] of [
  ["local", "without a cloud"],
  ["unreachable", "the drafter answers"],
]) {
  test(`a device whose cloud is ${cloud} says who answers`, async () => {
    device.state.cloud = cloud;
    await page.reload();
    await page.locator(".model").getByText(words).waitFor();
  });
}

test("a device that was started again with another model is asked for that one", async () => {
  Object.assign(device.state, { answer: 404, model: "other-7b" });
  await ask(page, "A lost letter.");
  await page.getByText("other-7b").waitFor();
  device.state.answer = "traced";
  await page.getByRole("button", { name: "Try again" }).click();
  await answered(page);
  assert.equal(device.state.requests[1].model, "other-7b");
});

test("a prompt that is too long names both numbers and offers no retry", async () => {
  device.state.answer = 400;
  await ask(page, "A lost letter.");
  const alert = page.getByRole("alert");
  await alert.getByText("The conversation is too long for this model").waitFor();
  assert.match(await alert.innerText(), /2048.*2100/);
  assert.equal(await alert.getByRole("button").count(), 0);
});

test("a failure in mid-answer keeps the text so far and leaves it out of what is sent next", async () => {
  device.state.answer = "breaks";
  await ask(page, "A lost letter.");
  await page.getByRole("alert").getByText("did not come back").waitFor();
  assert.match(await page.locator(".text").innerText(), /^Once there was/);
  device.state.answer = "traced";
  await ask(page, "Another.");
  await answered(page, 2);
  assert.deepEqual(device.state.requests[1].messages, [{ role: "user", content: "Another." }]);
});

test("a device that is gone is told so", async () => {
  await device.stop();
  await ask(page, "A lost letter.");
  await page.getByRole("alert").getByText("This device does not answer").waitFor();
  device = await startDevice();
});
