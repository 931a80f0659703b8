// Pictures for docs/: `node screenshots.mjs URL [FOLDER]`, with a running device at URL; without one, the stand-in of the tests.
// Those in docs/ were made with a cloud behind `tricorn link --preset wifi`. With pngquant they take a third of the bytes.

import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { startDevice } from "./support/device.mjs";
import { answered, ask, launch, open } from "./support/page.mjs";

const url = process.argv[2];
const folder = process.argv[3] ?? fileURLToPath(new URL("../../docs/images/", import.meta.url));
const device = url ? undefined : await startDevice();
const address = url || device.url;
const browser = await launch();
await mkdir(folder, { recursive: true });

async function shoot(name, options, steps) {
  const page = await open(browser, address, { reducedMotion: "reduce", ...options });
  await steps(page);
  const path = `${folder}/page-${name}.png`;
  await page.screenshot({ path });
  spawnSync("pngquant", ["--force", "--skip-if-larger", "--quality", "70-95", "--ext", ".png", path]);
  await page.context().close();
}

const story = async (page) => {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Temperature").fill("0");
  await page.getByLabel("Tokens at most").fill("180");
  await page.getByRole("button", { name: "Settings" }).click();
  await ask(page, "A lost letter.");
  await answered(page, 1);
};
const desktop = { viewport: { width: 1280, height: 1000 } };
const phone = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

await shoot("welcome", { viewport: { width: 1280, height: 800 } }, async (page) => {
  await page.locator('[data-state="ready"]').waitFor();
});
await shoot("light", { ...desktop, colorScheme: "light" }, story);
await shoot("dark", { ...desktop, colorScheme: "dark" }, story);
await shoot("wire", { ...desktop, colorScheme: "light" }, async (page) => {
  await story(page);
  await page.getByRole("button", { name: "One round" }).click();
  await page.locator(".wire li button").nth(4).focus();
  await page.locator(".wire .note").scrollIntoViewIfNeeded();
});
await shoot("phone", phone, story);
await shoot("phone-picture", phone, async (page) => {
  await story(page);
  await page.getByRole("button", { name: "What leaves the device" }).click();
});

await browser.close();
await device?.stop();
