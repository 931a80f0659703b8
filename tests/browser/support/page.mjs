// The page in Debian's Chromium, watched for anything it should not do.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: ARGS });

/** Opens the page in a fresh profile. `page.complaints` collects console errors, exceptions and requests to elsewhere. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) page.complaints.push(`asked for ${request.url()}`);
  });
  await page.goto(url);
  await page.getByRole("textbox", { name: "Message" }).waitFor();
  return page;
}

export async function ask(page, question) {
  await page.getByRole("textbox", { name: "Message" }).fill(question);
  await page.keyboard.press("Enter");
}

/** Waits until the last answer is complete. */
export async function answered(page, number = 1) {
  await page.locator(".exchange").nth(number - 1).locator(".footer").waitFor();
}

export function assertQuiet(page) {
  assert.deepEqual(page.complaints, []);
}

export async function assertNoSidewaysScroll(page) {
  const overflow = await page.evaluate(() => {
    const limit = document.documentElement.clientWidth;
    const wide = [...document.querySelectorAll("body *")].filter((element) => {
      const box = element.getBoundingClientRect();
      return box.width > 0 && box.right > limit + 0.5 && !element.closest(".unseen, svg, .model-state, .quiet");
    });
    const scrolling = [document.documentElement, ...document.querySelectorAll(".transcript, .picture")];
    return [
      ...wide.map((element) => element.className || element.tagName),
      ...scrolling.filter((element) => element.scrollWidth > element.clientWidth).map((element) => `scrolls: ${element.className}`),
    ];
  });
  assert.deepEqual(overflow, []);
}
