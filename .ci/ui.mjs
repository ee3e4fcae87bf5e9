#!/usr/bin/env node
// Drives the web interface with a real browser, against a host of its own:
//   ui.mjs HOST PLUGINS PLAYWRIGHT CHROMIUM [IMAGES]
// HOST is the program, with its bundled plugins; PLUGINS a folder with the starred plugin of the examples, PLAYWRIGHT one in
// which playwright-core is installed. Pictures of the pages go to the folder IMAGES: those of the manual, docs/manual/images.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

if (process.argv.length < 6) {
  console.error("usage: ui.mjs HOST PLUGINS PLAYWRIGHT CHROMIUM [IMAGES]");
  process.exit(2);
}
const [host, plugins, playwright, chromium, images] = process.argv.slice(2).map((path) => path && resolve(path));
const { chromium: browsers } = createRequire(join(playwright, "package.json"))("playwright-core");
const demo = fileURLToPath(new URL("../examples/demo-library", import.meta.url));
const PATIENCE = 60_000;
// A service that all browsers of this test know.
const SERVICE = "https://service.example";
const STARS = 300;

const scratch = mkdtempSync(join(tmpdir(), "zotify-ui-"));
const port = await free();
const base = `http://127.0.0.1:${port}`;

function free() {
  return new Promise((found) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
}

async function serve() {
  const file = join(scratch, "zotify.toml");
  const init = spawnSync(host, ["config", "init", "--music", demo, file], { encoding: "utf8" });
  assert.equal(init.status, 0, init.stderr);
  const titles = JSON.stringify(Array.from({ length: STARS }, (_, n) => `Star ${n}`));
  appendFileSync(file, `\n[providers.stars]\nplugin = "starred"\nsettings = { titles = ${titles}, saved = ${STARS} }\n`);
  const env = {
    ...process.env,
    ZOTIFY__SERVER__MODE: "dev",
    ZOTIFY__SERVER__LISTEN: `127.0.0.1:${port}`,
    ZOTIFY__PLUGINS__DIRECTORIES: JSON.stringify([plugins]),
  };
  const child = spawn(host, ["--config", file, "serve"], { env, stdio: ["ignore", "pipe", "pipe"] });
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => said.push(text));
  child.log = () => said.join("").slice(-6000);
  const until = Date.now() + PATIENCE;
  while (!(await fetch(`${base}/health/ready`).then((answer) => answer.ok, () => false))) {
    assert(child.exitCode === null && Date.now() < until, `the host did not start:\n${child.log()}`);
    await new Promise((later) => setTimeout(later, 100));
  }
  return child;
}

// What must be so on every page.
async function check(page) {
  const faults = await page.evaluate(() => {
    const found = [];
    const all = (selector) => [...document.querySelectorAll(selector)];
    for (const control of all("input:not([type=hidden]), select, textarea")) {
      if (!control.labels?.length) found.push(`no label: ${control.outerHTML}`);
    }
    for (const one of all("a, button")) if (!one.textContent.trim()) found.push(`no name: ${one.outerHTML}`);
    for (const picture of all("img:not([alt])")) found.push(`no alt: ${picture.outerHTML}`);
    const ids = all("[id]").map((one) => one.id);
    found.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: #${id}`));
    for (const selector of ["h1", "main", "#page"]) {
      if (all(selector).length !== 1) found.push(`${all(selector).length} of ${selector}`);
    }
    if (document.documentElement.scrollWidth > window.innerWidth) found.push(`wider than the window: ${scrollX}`);
    return found;
  });
  assert.deepEqual(faults, [], `${page.url()}: ${faults.join("\n")}`);
}

async function picture(page, name) {
  await check(page);
  // Those further down are loaded when somebody gets there.
  await page.waitForFunction(() => [...document.images].every((image) =>
    image.getBoundingClientRect().top > innerHeight || (image.complete && image.naturalWidth > 0)));
  if (images) await page.screenshot({ path: join(images, `ui-${name}.png`) });
}

const playing = (page) => page.evaluate(() => {
  const { currentTime, paused, readyState } = document.getElementById("player-audio");
  return { currentTime, paused, readyState };
});

const section = (page, name) => page.getByRole("navigation").getByRole("link", { name });

async function signIn(page, password) {
  await page.goto(`${base}/`);
  assert.match(page.url(), /\/ui\/sign-in$/);
  await check(page);
  await page.getByLabel("Name").fill("admin");
  await page.getByLabel("Password").fill("certainly not this one");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").filter({ hasText: "the name or the password is wrong" }).waitFor();
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${base}/ui`);
  await page.getByRole("heading", { name: "Local files" }).waitFor();
}

async function search(page) {
  await section(page, "Search").click();
  await page.waitForURL(`${base}/ui/search`);
  // The focus follows.
  await page.waitForFunction(() => document.activeElement.tagName === "H1");
  await page.getByLabel("Words").fill("test tones");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Play Sawtooth Serenade" }).click();
  await page.waitForFunction(() => document.getElementById("player-audio").currentTime > 0, null, { timeout: PATIENCE });
  assert.equal(await page.locator("#player-problem").isVisible(), false);
  await picture(page, "search");
  const before = await playing(page);
  assert(before.readyState >= 2, JSON.stringify(before));
}

async function playsOn(page) {
  // The player belongs to no page: an element that was made anew would have another mark.
  await page.evaluate(() => { document.getElementById("player-audio").mark = "same"; });
  await section(page, "Playlists").click();
  await page.waitForURL(`${base}/ui/playlists`);
  await page.locator(".rows a").first().click();
  await page.locator("a[data-play]").first().waitFor();
  await check(page);
  await page.goBack();
  await page.getByRole("heading", { name: "Playlists", exact: true }).waitFor();
  assert.equal(await page.evaluate(() => document.getElementById("player-audio").mark), "same");
  assert.equal(await page.locator("#player").isVisible(), true);
}

// The first page of a new flow.
async function startFlow(page) {
  await section(page, "Home").click();
  await page.getByRole("link", { name: "Connect an account" }).click();
  await page.getByRole("button", { name: "Connect Starred" }).waitFor();
  await check(page);
  await page.getByRole("button", { name: "Connect Starred" }).click();
  await page.getByLabel("Password").waitFor();
}

async function fillIn(page) {
  await page.getByLabel("Name", { exact: true }).fill("A");
  await page.getByLabel("Password").fill("sesame");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.locator("[aria-invalid=true]").waitFor();
  await picture(page, "connect");
  await page.getByLabel("Name", { exact: true }).fill("anna");
  await page.getByLabel("Password").fill("sesame");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("link", { name: "Open the service" }).waitFor();
  await check(page);
}

// A visit to the service; answers the tab, which came back to the host's own page.
async function visit(page) {
  const [tab] = await Promise.all([page.waitForEvent("popup"), page.getByRole("link", { name: "Open the service" }).click()]);
  await tab.getByRole("link", { name: "Allow" }).click();
  await tab.waitForURL(`${base}/api/auth/stars/callback?*`);
  return tab;
}

async function connected(page) {
  await page.getByText("WXYZ").waitFor();
  await page.getByText("The account is connected").waitFor({ timeout: PATIENCE });
  await check(page);
}

async function connect(page) {
  await startFlow(page);
  await fillIn(page);
  const tab = await visit(page);
  await tab.getByRole("button", { name: "Link to admin" }).click();
  await tab.getByRole("heading", { name: "One more step" }).waitFor();
  await tab.close();
  await connected(page);
}

// Stops or continues the plugins' processes, so that a job takes as long as it is looked at.
function signal(name) {
  const threads = readdirSync(`/proc/${child.pid}/task`);
  const read = (thread) => readFileSync(`/proc/${child.pid}/task/${thread}/children`, "utf8").split(" ");
  const pids = threads.flatMap(read).filter(Boolean).map(Number);
  assert(pids.length >= 2, `processes of plugins: ${pids}`);
  for (const pid of pids) process.kill(pid, name);
}

async function watchJob(page) {
  await section(page, "Home").click();
  await page.getByText(`${STARS} tracks`).waitFor();
  await picture(page, "home");
  signal("SIGSTOP");
  await page.getByRole("button", { name: "Sync now anna at the stars" }).click();
  await page.getByText("It is being read now").waitFor();
  await section(page, "Jobs").click();
  await page.waitForURL(`${base}/ui/jobs`);
  const row = page.getByRole("row").filter({ hasText: "stars" }).first();
  await row.getByText("running").waitFor();
  await picture(page, "jobs");
  await page.evaluate(() => { document.body.mark = "same"; });
  signal("SIGCONT");
  await row.getByText("succeeded").waitFor();
  assert.equal(await page.evaluate(() => document.body.mark), "same", "the page follows by itself");
  await section(page, "Home").click();
}

async function againAndUnlink(page) {
  await page.getByRole("link", { name: "anna at the stars" }).click();
  await page.getByRole("button", { name: "Sign in again" }).waitFor();
  await picture(page, "account");
  await page.getByRole("button", { name: "Sign in again" }).click();
  await page.getByLabel("Password").waitFor();
  await fillIn(page);
  const tab = await visit(page);
  // As where the host can't be reached under the address that the service knows.
  await page.getByLabel("Address that your browser ended at").fill(tab.url());
  await tab.close();
  await page.getByRole("button", { name: "Go on" }).click();
  await connected(page);
  await page.getByRole("link", { name: "See the account" }).click();
  await page.getByRole("link", { name: "Unlink" }).click();
  await page.getByRole("button", { name: "Unlink it" }).waitFor();
  await check(page);
  await page.getByRole("button", { name: "Unlink it" }).click();
  await page.waitForURL(`${base}/ui`);
  assert.equal(await page.getByText("anna at the stars").count(), 0);
}

async function onPhones(page) {
  await page.setViewportSize({ width: 360, height: 720 });
  await page.emulateMedia({ colorScheme: "dark" });
  for (const path of ["/ui", "/ui/search?q=a", "/ui/jobs", "/ui/playlists", "/ui/connect", "/ui/password"]) {
    await page.goto(base + path);
    await check(page);
  }
  await page.goto(`${base}/ui/search?q=tones`);
  await picture(page, "phone");
}

async function withoutScripts(browser, cookies) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  await context.addCookies(cookies);
  const page = await context.newPage();
  await page.goto(`${base}/ui`);
  await page.getByRole("button", { name: /^Sync now/ }).first().click();
  await section(page, "Search").click();
  await page.getByLabel("Words").fill("sawtooth");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByRole("link", { name: "Play Sawtooth Serenade" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(`${base}/ui/sign-in`);
  await context.close();
}

async function drive(browser) {
  const context = await browser.newContext({ viewport: { width: 960, height: 640 } });
  context.setDefaultTimeout(PATIENCE / 2);
  const faults = [];
  await context.route(`${SERVICE}/**`, (route) => {
    const asked = new URL(route.request().url()).searchParams;
    const back = `${asked.get("redirect_uri")}?code=anna&state=${asked.get("state")}`;
    return route.fulfill({ contentType: "text/html", body: `<a href="${back}">Allow</a>` });
  });
  context.on("request", (request) => {
    if (![base, SERVICE].includes(new URL(request.url()).origin)) faults.push(`asks elsewhere: ${request.url()}`);
  });
  // Chromium logs answers such as 422, too; what a policy forbids or a script throws is never right.
  context.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(message.text());
  });
  context.on("weberror", (error) => faults.push(String(error.error())));
  const page = await context.newPage();
  await signIn(page, readFileSync(join(scratch, "data/admin-password"), "utf8").trim());
  await search(page);
  await playsOn(page);
  await connect(page);
  await watchJob(page);
  await againAndUnlink(page);
  await onPhones(page);
  await withoutScripts(browser, await context.cookies());
  assert.deepEqual(faults, []);
}

if (images) mkdirSync(images, { recursive: true });
const child = await serve();
let browser;
try {
  // Sound is played without a loudspeaker, and without a click that Chromium would count as one.
  const args = ["--no-sandbox", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"];
  browser = await browsers.launch({ executablePath: chromium, args });
  await drive(browser);
  console.log("the web interface works in a browser");
} catch (error) {
  console.error(`${error.stack}\nthe host's log ends with:\n${child.log()}`);
  process.exitCode = 1;
} finally {
  await browser?.close();
  child.kill();
  await new Promise((ended) => (child.exitCode === null ? child.once("exit", ended) : ended()));
  rmSync(scratch, { recursive: true, force: true });
}
