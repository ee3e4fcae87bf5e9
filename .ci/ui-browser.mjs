// What the tests of the web interface in a real browser have in common: a host of their own, and what must be so on every
// page.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const PATIENCE = 60_000;
// How long a whole test may take, which is usually a minute. Chromium has been seen to keep a click to itself for ever, past
// every limit of Playwright's.
const LIMIT = 6 * 60_000;
/** The exit code of a test that was still going after `LIMIT`. */
const HANGS = 75;

/** The program's arguments as absolute paths; ends it where they are too few. */
export function paths(usage, least) {
  const given = process.argv.slice(2);
  if (given.length < least) {
    console.error(`usage: ${usage}`);
    process.exit(2);
  }
  return given.map((path) => path && resolve(path));
}

/** Runs a program to its end. */
export function run(program, args, options = {}) {
  const ran = spawnSync(program, args, { encoding: "utf8", ...options });
  assert.equal(ran.status, 0, `${program} ${args.join(" ")}: ${ran.stderr}`);
}

/** A program that goes on until `stop`. */
export class Program {
  constructor(program, args, env = {}) {
    this.said = [];
    this.child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (text) => this.said.push(text));
  }

  log() {
    return this.said.join("").slice(-6000);
  }

  /** Waits until the program has said what the pattern matches; answers its first group. */
  async says(pattern) {
    for (const until = Date.now() + PATIENCE; ; await later()) {
      const found = pattern.exec(this.said.join(""));
      if (found) return found[1];
      assert(this.child.exitCode === null && Date.now() < until, `it has not said ${pattern}:\n${this.log()}`);
    }
  }

  async stop() {
    this.child.kill();
    if (this.child.exitCode === null) await new Promise((ended) => this.child.once("exit", ended));
  }
}

const later = (time = 100) => sleep(time);

/** A host at a port that the system chooses; `base` is its address. */
export async function serve(host, file, env = {}) {
  const program = new Program(host, ["--config", file, "serve"],
    { ZOTIFY__SERVER__MODE: "dev", ZOTIFY__SERVER__LISTEN: "127.0.0.1:0", ...env });
  program.base = await program.says(/listens at (http:\S+)/);
  for (const until = Date.now() + PATIENCE; ; await later()) {
    if (await fetch(`${program.base}/health/ready`).then((answer) => answer.ok, () => false)) return program;
    assert(program.child.exitCode === null && Date.now() < until, `the host did not start:\n${program.log()}`);
  }
}

/** A browser, for as long as `drive` takes; `ends` are programs that are stopped afterwards. */
export async function drive(playwright, executablePath, ends, drive) {
  const { chromium } = createRequire(join(playwright, "package.json"))("playwright-core");
  let browser;
  const ended = new AbortController();
  try {
    // Sound is played without a loudspeaker, and without a click that Chromium would count as one.
    const args = ["--no-sandbox", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"];
    browser = await chromium.launch({ executablePath, args });
    await Promise.race([drive(browser), hangs(ended.signal)]);
  } catch (error) {
    console.error(error.stack);
    for (const page of browser?.contexts().flatMap((context) => context.pages()) ?? []) {
      const text = await Promise.race([page.locator("body").innerText({ timeout: 1000 }).catch(String), later(2000)]);
      console.error(`--- a tab shows ${page.url()}:\n${text ?? "nothing: it does not answer"}`);
    }
    for (const program of ends) console.error(`--- the log of ${program.child.spawnfile} ends with:\n${program.log()}`);
    process.exitCode = error.code === HANGS ? HANGS : 1;
  } finally {
    ended.abort();
    await Promise.race([browser?.close(), later(10_000)]);
    for (const program of ends) await program.stop();
  }
  // What hangs would keep the program from ending.
  process.exit();
}

/** Fails after `LIMIT`. */
async function hangs(signal) {
  await sleep(LIMIT, undefined, { signal }).catch(() => {});
  if (!signal.aborted) throw Object.assign(new Error(`still not done after ${LIMIT / 60_000} minutes`), { code: HANGS });
}

/** A folder that is gone in the end. */
export function scratch() {
  const folder = mkdtempSync(join(tmpdir(), "zotify-ui-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A new window. What it asks of others than `origins`, what a policy forbids and what a script throws goes to `faults`. */
export async function open(browser, origins, faults, options = {}) {
  const context = await browser.newContext({ viewport: { width: 960, height: 640 }, ...options });
  context.setDefaultTimeout(PATIENCE / 2);
  context.on("request", (request) => {
    if (!origins.includes(new URL(request.url()).origin)) faults.push(`asks elsewhere: ${request.url()}`);
  });
  // Chromium logs answers such as 422, too.
  context.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(message.text());
  });
  context.on("weberror", (error) => faults.push(String(error.error())));
  return context;
}

/** What must be so on every page. */
export async function check(page) {
  const faults = await page.evaluate(() => {
    const found = [];
    const all = (selector) => [...document.querySelectorAll(selector)];
    for (const control of all("input:not([type=hidden]), select, textarea")) {
      if (!control.labels?.length) found.push(`no label: ${control.outerHTML}`);
    }
    for (const one of all("a, button, summary")) if (!one.textContent.trim()) found.push(`no name: ${one.outerHTML}`);
    for (const picture of all("img:not([alt])")) found.push(`no alt: ${picture.outerHTML}`);
    const ids = all("[id]").map((one) => one.id);
    found.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: #${id}`));
    for (const selector of ["h1", "main", "#page"]) {
      if (all(selector).length !== 1) found.push(`${all(selector).length} of ${selector}`);
    }
    if (document.documentElement.scrollWidth > window.innerWidth) {
      found.push(`wider than the window: ${document.documentElement.scrollWidth}`);
    }
    // People with a browser know nothing of the API's addresses.
    if (/(GET|POST|PATCH|PUT|DELETE) \/api\/|see \/api\//.test(document.body.innerText)) found.push("speaks of the API");
    return found;
  });
  assert.deepEqual(faults, [], `${page.url()}: ${faults.join("\n")}`);
}

/** Checks a page, and takes its picture where there is a folder for it. */
export async function picture(page, images, name) {
  await check(page);
  // Those further down are loaded when somebody gets there.
  await page.waitForFunction(() => [...document.images].every((image) =>
    image.getBoundingClientRect().top > innerHeight || (image.complete && image.naturalWidth > 0)));
  if (!images) return;
  mkdirSync(images, { recursive: true });
  await page.screenshot({ path: join(images, `ui-${name}.png`) });
}

export const section = (page, name) => page.getByRole("navigation").getByRole("link", { name });

export async function signIn(page, base, name, password) {
  await page.goto(`${base}/`);
  await page.waitForURL(/\/ui\/sign-in$/);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${base}/ui`);
}

/** Opens the service's page in a new tab. */
export async function openService(page) {
  const link = page.getByRole("link", { name: "Open the service" });
  const [tab] = await Promise.all([page.waitForEvent("popup"), link.click()]);
  return tab;
}

/** Closes a tab, after which the page is in front again: Chromium may hold back the clicks of one that it thinks hidden. */
export async function closeTab(tab, page) {
  await tab.close();
  await page.bringToFront();
}
