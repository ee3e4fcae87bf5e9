#!/usr/bin/env node
// Connects accounts at Spotify's simulator on the pages of a host of its own, with a real browser:
//   ui-spotify.mjs HOST SIMULATOR PLAYWRIGHT CHROMIUM [IMAGES]
// HOST and SIMULATOR are the programs, the former with its bundled plugins; PLAYWRIGHT and IMAGES are as for ui.mjs.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Program, check, closeTab, drive, open, openService, paths, picture, run, scratch, section, serve, signIn } from "./ui-browser.mjs";

const [host, simulator, playwright, chromium, images] = paths("ui-spotify.mjs HOST SIMULATOR PLAYWRIGHT CHROMIUM [IMAGES]", 4);
const TRACKS = 1500;
// Of this test's users alone.
const PASSWORD = "as long as it has to be";

const folder = scratch();
// Registered without a port, which fits any.
const redirect = "http://127.0.0.1/api/auth/spotify/callback";
const service = new Program(simulator, ["--listen", "127.0.0.1:0", "--users", "3", "--tracks", String(TRACKS),
  "--playlists", "4", "--client-id", "household", "--redirect-uri", redirect]);
const accounts = await service.says(/accounts_base = "(\S+)"/);

async function hosting() {
  const file = join(folder, "zotify.toml");
  writeFileSync(file, `[server]
data_dir = "data"
[providers.spotify]
plugin = "spotify"
settings = { accounts_base = "${accounts}", api_base = "${accounts}/v1" }
[providers.spotify.budget]
window_requests = 600
daily_requests = 5000
`);
  for (const [name, ...more] of [["admin", "--admin"], ["anna"]]) {
    run(host, ["--config", file, "user", "create", name, ...more, "--password-stdin"], { input: PASSWORD });
  }
  return serve(host, file);
}

/** Tells the simulator something: `rules` or `changes`. */
async function control(what, body) {
  const answer = await fetch(`${accounts}/_control/${what}`,
    { method: body ? "POST" : "DELETE", headers: { "content-type": "application/json" }, body: body && JSON.stringify(body) });
  assert(answer.ok, `${what}: ${await answer.text()}`);
}

const goOn = (page) => page.getByRole("button", { name: "Go on" });

async function start(page, shared = false) {
  await section(page, "Home").click();
  await page.getByRole("link", { name: "Connect an account" }).click();
  if (shared) await page.getByLabel("For all users of this server").check();
  await page.getByRole("button", { name: "Connect Spotify" }).click();
  await page.getByLabel("Client ID").waitFor();
}

/** Goes as far as the service's page. */
async function fillIn(page, client) {
  await page.getByLabel("Client ID").fill(client);
  await goOn(page).click();
  await page.getByRole("link", { name: "Open the service" }).waitFor();
  await check(page);
}

/** Agrees at the service, as a user. */
async function agree(tab, user) {
  await tab.getByLabel("Sign in as").selectOption({ label: user });
  await tab.getByRole("button", { name: "Agree" }).click();
}

async function formsAndWrongClientIds(page) {
  await start(page);
  await page.getByText("enter exactly this redirect URI").waitFor();
  assert((await page.locator("main").innerText()).includes(`${base}/api/auth/spotify/callback`), "the port is the real one");
  await page.getByLabel("Client ID").fill("no id at all!");
  await goOn(page).click();
  await page.locator("[aria-invalid=true]").waitFor();
  await picture(page, images, "connect");
  // Spotify does not know it: its page says so, and never sends anybody back.
  await fillIn(page, "nobody");
  const tab = await openService(page);
  await tab.getByText("INVALID_CLIENT").waitFor();
  await closeTab(tab, page);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.waitForURL(`${base}/ui`);
  await page.getByText("None yet.").waitFor();
}

async function refusal(page) {
  await start(page);
  await fillIn(page, "household");
  await check(page);
  const tab = await openService(page);
  await tab.getByRole("button", { name: "Cancel" }).click();
  await tab.getByRole("heading", { name: "Nothing was linked" }).waitFor();
  await check(tab);
  await tab.getByRole("button", { name: "Go on" }).click();
  await tab.getByText("access was refused at the service").waitFor();
  await closeTab(tab, page);
  await page.getByRole("alert").filter({ hasText: "access was refused" }).waitFor();
  await check(page);
  await page.getByRole("button", { name: "Start anew" }).click();
  await page.getByLabel("Client ID").waitFor();
}

async function firstPull(page) {
  // Slow enough to be looked at; the rule ends as soon as that is done.
  await control("rules", { method: "GET", path: "^/v1/me/tracks", times: 0, effects: [{ effect: "latency", ms: 1000 }] });
  await fillIn(page, "household");
  const tab = await openService(page);
  await agree(tab, "Listener One");
  await tab.getByRole("button", { name: "Link to admin" }).waitFor();
  await check(tab);
  await tab.getByRole("button", { name: "Link to admin" }).click();
  await tab.getByRole("heading", { name: "Linked" }).waitFor();
  await closeTab(tab, page);
  await page.getByText("The account is connected").waitFor();
  await page.getByRole("link", { name: "See the account" }).click();
  await page.getByText("It is being read now").waitFor();
  const bar = page.locator("main progress[value]");
  await bar.waitFor();
  await page.getByText(/[1-9]\d* used, \d+ left/).first().waitFor();
  await picture(page, images, "account");
  await section(page, "Jobs").click();
  await page.getByRole("row").filter({ hasText: "running" }).locator("progress[value]").waitFor();
  await picture(page, images, "jobs");
  await section(page, "Home").click();
  await page.getByText("It is being read now").waitFor();
  // What follows by itself does not come between a click and its answer.
  const follows = () => page.waitForResponse(`${base}/ui`).then((answer) => answer.finished());
  await page.route("**/ui/accounts/*", async (route) => { await follows(); await follows(); await route.continue(); }, { times: 1 });
  await page.getByRole("link", { name: "Listener One" }).click();
  await page.waitForURL(/\/ui\/accounts\//);
  await bar.waitFor();
  await check(page);
  // It follows by itself: the very same page goes on.
  await page.evaluate(() => { document.body.mark = "same"; });
  const before = await bar.getAttribute("value");
  await page.waitForFunction((old) => document.querySelector("main progress")?.getAttribute("value") !== old, before);
  await control("rules");
  await page.getByText(/Read 2\d{3}-.*: complete/).waitFor();
  await page.getByText(`${TRACKS} tracks`).waitFor();
  assert.equal(await page.evaluate(() => document.body.mark), "same");
  await check(page);
}

async function library(page) {
  await section(page, "Playlists").click();
  await page.waitForURL(`${base}/ui/playlists`);
  await page.locator(".rows a").first().click();
  await page.locator(".rows li").first().waitFor();
  await check(page);
  const title = await page.locator(".rows .what > *").first().innerText();
  await section(page, "Search").click();
  await page.waitForURL(`${base}/ui/search`);
  await page.getByLabel("Where").selectOption("catalog");
  await page.getByLabel("Words").fill(title);
  await page.getByLabel("Words").press("Enter");
  await page.getByRole("heading", { name: "Found" }).waitFor();
  await check(page);
  assert.equal(await page.locator("a[data-play]").count(), 0, "Spotify serves no audio");
}

async function pauses(page) {
  await control("rules", { path: "^/v1/me$", effects: [{ effect: "too_many_requests", retry_after: "40" }] });
  await section(page, "Home").click();
  await page.getByRole("link", { name: "Listener One" }).click();
  await page.getByRole("button", { name: "Check it" }).click();
  await page.getByText("The service wants a pause").waitFor();
  await check(page);
  await control("rules");
}

/** Spotify ends the sign-in. */
async function expires(page) {
  await control("changes", { change: "revoke", user: "ünï user#2" });
  await control("changes", { change: "expire_tokens" });
  await section(page, "Home").click();
  await page.getByRole("link", { name: "Listener 2" }).click();
  await page.getByRole("button", { name: "Check it" }).click();
  await page.getByText("wants you to sign in again").waitFor();
  await page.getByText("Press “Sign in again”").waitFor();
  await check(page);
  await section(page, "Home").click();
  await page.getByText("wants you to sign in again").waitFor();
  await check(page);
  await page.getByRole("button", { name: "Sign in again as Listener 2" }).click();
  // The app is known from before: no form.
  let tab = await openService(page);
  await agree(tab, "Listener 3");
  await tab.getByRole("button", { name: "Link to anna" }).click();
  await tab.getByText("this is another account of the service").waitFor();
  await closeTab(tab, page);
  await page.getByRole("alert").filter({ hasText: "this is another account of the service" }).waitFor();
  await page.getByRole("button", { name: "Start anew" }).click();
  tab = await openService(page);
  await agree(tab, "Listener 2");
  await tab.getByRole("button", { name: "Link to anna" }).click();
  await closeTab(tab, page);
  await page.getByRole("link", { name: "See the account" }).click();
  await page.locator(".state.succeeded").waitFor();
  assert.equal(await page.getByText("Press “Sign in again”").count(), 0);
}

/** As where the host cannot be reached under the address that the service knows: nothing is confirmed there. */
async function pasteBack(page) {
  await start(page);
  await fillIn(page, "household");
  await page.getByText("copy the whole address and paste it here").waitFor();
  const tab = await openService(page);
  await agree(tab, "Listener 2");
  await tab.waitForURL(`${base}/api/auth/spotify/callback?*`);
  const address = tab.url();
  await closeTab(tab, page);
  const field = page.getByLabel("Address that your browser ended at");
  for (const [wrong, words] of [[`${base}/somewhere`, "this is not where the service sends the browser"],
    [address.replace("state=", "state=x"), "belongs to another sign-in"]]) {
    await field.fill(wrong);
    await goOn(page).click();
    await page.getByRole("alert").filter({ hasText: words }).waitFor();
    await check(page);
  }
  await field.fill(address);
  await goOn(page).click();
  await page.getByText("The account is connected").waitFor();
}

async function share(page) {
  await start(page, true);
  await fillIn(page, "household");
  const tab = await openService(page);
  await agree(tab, "Listener 3");
  await tab.getByRole("button", { name: "Link to admin" }).click();
  await closeTab(tab, page);
  await page.getByRole("link", { name: "See the account" }).click();
  await page.getByText("shared by all users").waitFor();
  return page.url();
}

/** Somebody else sees a shared account, and can change nothing. */
async function sharedIsReadOnly(page, shared) {
  await section(page, "Home").click();
  assert.equal(await page.getByRole("link", { name: "Listener One" }).count(), 0, "it is the admin's own");
  await page.getByRole("link", { name: "Listener 3" }).click();
  await page.getByText("only admins can change or unlink it").waitFor();
  await check(page);
  for (const name of ["Sign in again", "Save"]) assert.equal(await page.getByRole("button", { name }).count(), 0, name);
  assert.equal(await page.getByRole("link", { name: "Unlink" }).count(), 0);
  assert.equal(await page.getByLabel("Name", { exact: true }).count(), 0);
  for (const [path, form] of [["/unlink", {}], ["", { label: "Mine", pull_every_s: "0" }]]) {
    const refused = await page.request.post(shared + path, { form, headers: { origin: base } });
    assert.equal(refused.status(), 403, path);
  }
}

async function unlink(page) {
  await section(page, "Home").click();
  await page.getByRole("link", { name: "Listener One" }).click();
  await page.getByRole("link", { name: "Unlink" }).click();
  await check(page);
  await page.getByRole("button", { name: "Unlink it" }).click();
  await page.waitForURL(`${base}/ui`);
  await page.getByRole("link", { name: "Listener 3" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Listener One" }).count(), 0);
}

async function everything(browser) {
  const faults = [];
  const admin = await (await open(browser, [base, accounts], faults)).newPage();
  await signIn(admin, base, "admin", PASSWORD);
  await formsAndWrongClientIds(admin);
  await refusal(admin);
  await firstPull(admin);
  await library(admin);
  const shared = await share(admin);
  const phone = { viewport: { width: 360, height: 720 }, colorScheme: "dark" };
  const anna = await (await open(browser, [base, accounts], faults, phone)).newPage();
  await signIn(anna, base, "anna", PASSWORD);
  await sharedIsReadOnly(anna, shared);
  await pasteBack(anna);
  await expires(anna);
  await pauses(admin);
  await unlink(admin);
  assert.deepEqual(faults, []);
  console.log("accounts are connected in a browser");
}

const program = await hosting();
const { base } = program;
await drive(playwright, chromium, [program, service], everything);
