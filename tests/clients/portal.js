// The portal in a real browser: log in, create a job, watch it, cancel it, see the receipt, delete it; two customers;
// scripts in every text; a service that restarts; accessibility; pictures of each page.
"use strict";
const assert = require("node:assert");
const fs = require("node:fs");

const { SERVER, alerts, launch, logIn, accessible, fill, create, ship, fits, screenshot } = require("./browser.js");
const identity = require("./identity.js");

const { OPERATOR, ONE, OTHER, STOP, OFFLINE, RESTARTED, IDENTITY_PORT, FAILING, TINY } = process.env;

async function picture(page, name) {
    for (const scheme of ["light", "dark"]) {
        for (const width of [1280, 768]) {
            await page.emulateMedia({ colorScheme: scheme });
            await page.setViewportSize({ width, height: 800 });
            await screenshot(page, `${name}-${scheme}-${width}`);
        }
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ media: "print" });
    await screenshot(page, `${name}-print`, { fullPage: true });
    await page.emulateMedia({ media: "screen" });
}

async function wholeJob(browser) {
    const customer = await logIn(browser, ONE);
    await create(customer, { jobName: "x", driveList: "" });
    assert.strictEqual(await customer.inputValue("[name=jobName]"), "x", "nothing typed is lost");
    assert.strictEqual(await customer.locator(".problem").count(), 2);
    await accessible(customer);
    await picture(customer, "new-with-problems");
    await create(customer, { jobName: "watched", subscription: "one", driveList: "SLOW-1" });
    await customer.waitForSelector(".badge.Creating");
    await ship(customer, { email: "" });
    assert.ok(await customer.locator("#email-problem").count(), "the problem stands beside its field");
    await customer.fill("[name=email]", "a@example.com");
    await customer.click("text=The drives are on their way");
    // The bay is watched: it begins by itself, and the page follows.
    await customer.waitForSelector(".state .badge.Transferring");
    const percent = async () => Number(await customer.locator("article progress").getAttribute("value"));
    await customer.waitForFunction(() => Number(document.querySelector("article progress")?.getAttribute("value")) >= 3);
    const before = await percent();
    await customer.waitForFunction((seen) => Number(document.querySelector("article progress").getAttribute("value")) > seen, before);
    await accessible(customer);
    await picture(customer, "job-copying");
    const operator = await logIn(browser, OPERATOR);
    await operator.waitForSelector(".card.copying");
    await accessible(operator);
    await picture(operator, "bays");
    // Cancel, as it is.
    await customer.click("a:has-text('Cancel')");
    await customer.waitForSelector("text=A cancel is best effort");
    await customer.waitForSelector("li:has-text('in flight')");
    await accessible(customer);
    await picture(customer, "cancel");
    await customer.click("button:has-text('Cancel the job')");
    await customer.waitForSelector(".state .badge.Packaging");
    await customer.waitForSelector("svg.bar");
    const receipt = await customer.locator("article .numbers dd").allTextContents();
    const bytes = receipt.map((text) => Number(/\((\d+) bytes\)/.exec(text)[1]));
    assert.strictEqual(bytes.reduce((one, other) => one + other), 512 << 20, "every byte is in one class");
    await accessible(customer);
    await picture(customer, "job-cancelled");
    const [download] = await Promise.all([customer.waitForEvent("download"), customer.click("text=Download the receipts")]);
    const document = JSON.parse(fs.readFileSync(await download.path(), "utf8"));
    assert.strictEqual(document.drives[0].result.receipt.landed_before_request.bytes, bytes[0]);
    assert.strictEqual(await customer.locator("text=Send the drives back").count(), 0, "that is for operators");
    assert.strictEqual(await customer.locator("a:has-text('Delete')").count(), 0, "not before it is over");
    const states = await customer.locator(".timeline b").allTextContents();
    assert.deepStrictEqual(states, ["Creating", "Shipping", "Received", "Transferring", "Packaging"]);
    // The drive's own page, and what is left of it.
    await customer.click("article h3 a");
    await customer.waitForSelector("text=Where the time went");
    await customer.waitForSelector("dd:has-text('SLOW-1')");
    await accessible(customer);
    await picture(customer, "drive");
    const map = await downloaded(customer, "Mapfile");
    assert.match(map, /^# Mapfile\. Created by drive-agent/);
    const landed = [...map.matchAll(/^0x[0-9a-fA-F]+ +(0x[0-9a-fA-F]+) +\+$/gm)].reduce((sum, line) => sum + Number(line[1]), 0);
    assert.strictEqual(landed, bytes[0] + bytes[1], "what landed is in the map");
    await customer.click(".above a");
    // Staff send it back, and the customer's page knows.
    await operator.click(".attention a:has-text('Send back')");
    await operator.fill("[name=carrierName]", "FedEx");
    await operator.fill("[name=trackingNumber]", "B-1");
    await operator.click("text=They went back");
    await customer.waitForSelector(".state .badge.Completed");
    await customer.click("a:has-text('Delete')");
    await accessible(customer);
    await customer.click("button:has-text('Delete the job')");
    await customer.waitForURL(/portal\/jobs$/);
    assert.strictEqual(await customer.locator("text=watched").count(), 0, "the job is gone");
    await operator.waitForFunction(() => document.body.textContent.includes("there is no job") || !document.querySelector("[data-live]"));
    await operator.context().close();
    return customer;
}

async function downloaded(page, name) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(`a:has-text('${name}')`)]);
    return fs.readFileSync(await download.path(), "utf8");
}

// Staff with a drive in their hands: dock it, say whose it is, see it fail, try again, take it out.
async function byHand(browser) {
    const customer = await logIn(browser, ONE);
    await create(customer, { jobName: "failing", subscription: "one", driveList: "BAD-1", logLevel: "Verbose" });
    await customer.waitForSelector(".badge.Creating");
    await ship(customer);
    await customer.waitForSelector(".state .badge.Shipping");
    const operator = await logIn(browser, OPERATOR);
    const bay = operator.locator("article:has(h3:text-is('bay-2'))");
    assert.strictEqual(await operator.locator("article:has(h3:text-is('bay-1')) >> text=Dock a drive").count(), 0, "it is watched");
    await bay.locator("text=Dock a drive").click();
    await accessible(operator);
    await operator.fill("[name=path]", "/no/such/drive");
    await operator.click("button:has-text('Dock it')");
    await operator.waitForSelector("#path-problem:has-text('no drive')");
    assert.strictEqual(await operator.inputValue("[name=path]"), "/no/such/drive", "nothing typed is lost");
    await picture(operator, "dock-with-problem");
    await operator.fill("[name=path]", FAILING);
    await operator.click("button:has-text('Dock it')");
    // Its copy fails at the first bad place, and waits for a person, with the way out beside it.
    const waiting = operator.locator(".attention li:has-text('BAD-1')");
    await waiting.locator("text=A copy failed").waitFor();
    await accessible(operator);
    await picture(operator, "bays-attention");
    // The list of jobs knows it, too.
    await operator.goto(`${SERVER}/portal/jobs?waits=yes`);
    await operator.waitForSelector("tr:has-text('failing') td:has-text('A copy failed')");
    await operator.waitForSelector("tr:has-text('failing') .badge.held");
    await narrow(operator, "jobs-waiting");
    await operator.fill("#search", "nothing-like-it");
    await operator.click("text=Search");
    await operator.waitForSelector("text=Nothing waits for a person");
    await operator.goto(`${SERVER}/portal/bays`);
    // A copy that is given up is asked about first, and taken back with one tap.
    await waiting.locator("a:has-text('Give up')").click();
    await operator.waitForSelector("h1:has-text('Give up the copy of BAD-1?')");
    await accessible(operator);
    await picture(operator, "give-up");
    await operator.click("button:has-text('Give up')");
    await operator.waitForSelector(".state .badge.Packaging");
    await operator.goto(`${SERVER}/portal/bays`);
    await waiting.locator("button:has-text('Take back the give-up')").click();
    await operator.waitForSelector(".state .badge.Transferring");
    await operator.goto(`${SERVER}/portal/bays`);
    await waiting.locator("text=A copy failed").waitFor();
    // What fixes it is one tap away, and ticked on the page that asks for more.
    await waiting.locator("button:has-text('Rescue what can be read')").waitFor();
    await waiting.locator("a:text-is('failing')").click();
    await operator.click("a:has-text('Try again')");
    await operator.waitForSelector(".measure:has-text('BAD-1')");
    await accessible(operator);
    assert.ok(await operator.isChecked("[name=rescue]"), "what fixes it is ticked");
    await picture(operator, "retry");
    await operator.click("button:has-text('Copy it')");
    // What it does not give is seen while it is rescued, too.
    await operator.goto(`${SERVER}/portal/bays`);
    await bay.locator(".badge.rescuing").waitFor();
    await bay.locator("svg.bar rect.lost, svg.bar rect.doubtful").first().waitFor();
    await accessible(operator);
    await picture(operator, "bays-rescuing");
    await customer.waitForSelector(".badge.CompletedMoreInfo");
    await customer.click("article h3 a");
    await customer.waitForSelector("svg.bar rect.lost");
    await customer.waitForSelector("a:has-text('Verbose log')");
    await accessible(customer);
    await picture(customer, "drive-failing");
    assert.match(await downloaded(customer, "Manifest"), /"root_sha256"/);
    assert.match(await downloaded(customer, "Error log"), /<DriveLog/);
    assert.match(await downloaded(customer, "Verbose log"), /<DriveLog/);
    const map = await downloaded(customer, "Mapfile");
    assert.match(map, / -$/m);
    const missing = await customer.goto(`${customer.url()}/file/nothing`);
    assert.strictEqual(missing.status(), 404);
    await operator.goto(`${SERVER}/portal/bays`);
    await operator.locator(".attention li:has-text('failing') >> a:has-text('Send back')").click();
    await operator.fill("[name=carrierName]", "FedEx");
    await operator.fill("[name=trackingNumber]", "B-2");
    await operator.click("text=They went back");
    await operator.waitForSelector(".state .badge.Closed");
    await operator.goto(`${SERVER}/portal/bays`);
    await bay.locator("button:has-text('Take it out')").click();
    await bay.locator("text=Dock a drive").waitFor();
}

// A drive that was not announced: staff say whose it is.
async function checkIn(browser) {
    const customer = await logIn(browser, ONE);
    await create(customer, { jobName: "fetch", subscription: "one", jobType: "Export", blobPath: "/imports/failing/BAD-1.img" });
    await customer.waitForSelector(".badge.Creating");
    await ship(customer);
    await customer.waitForSelector(".state .badge.Shipping");
    const operator = await logIn(browser, OPERATOR);
    const bay = operator.locator("article:has(h3:text-is('bay-2'))");
    await bay.locator("text=Dock a drive").click();
    await operator.fill("[name=path]", TINY);
    await operator.fill("[name=driveId]", "EMPTY-1");
    await operator.click("button:has-text('Dock it')");
    // A window that is not looked at says so in its title.
    await operator.waitForFunction(() => /^\(\d+\) Bays/.test(document.title));
    await operator.locator(".attention li:has-text('EMPTY-1') >> a:has-text('Check it in')").click();
    assert.strictEqual(await operator.inputValue("[name=bay]"), "bay-2");
    await accessible(operator);
    await picture(operator, "check-in");
    await operator.click("button:has-text('Check it in')");
    await operator.waitForSelector("#bay-problem:has-text('not empty')");
    await operator.check("[name=erase]");
    await operator.click("button:has-text('Check it in')");
    await operator.waitForSelector(".state .badge.Packaging");
    await operator.waitForSelector("article:has-text('EMPTY-1') .badge.CompletedMoreInfo");
}

// How a page is on a phone.
async function narrow(page, name) {
    await fits(page, 390);
    await accessible(page);
    await screenshot(page, `${name}-390`, { fullPage: true });
    await page.setViewportSize({ width: 1280, height: 800 });
}

// Staff with a parcel and a scanner, which ends each code with a line end.
async function receiving(browser) {
    const customer = await logIn(browser, ONE);
    await create(customer, { jobName: "parcel", subscription: "one", driveList: "P-1\nA-SERIAL-NUMBER-AS-LONG-AS-SOME-BRIDGES-TELL-THEM-0123456789" });
    await customer.waitForSelector(".badge.Creating");
    await customer.click("a:has-text('Ship')");
    await customer.waitForSelector("text=Send the drives to: The dock");
    await customer.waitForSelector(".hint:has-text('FedEx, DHL')");
    assert.strictEqual(await customer.inputValue("[name=recipientName]"), "R", "the address of the last job is there");
    await customer.goBack();
    await ship(customer, { trackingNumber: "1Z-parcel-9", driveCount: "2" });
    await customer.waitForSelector(".state .badge.Shipping");
    await customer.click("text=Packing slip and label");
    await customer.waitForSelector(".label address:has-text('The dock')");
    await customer.waitForSelector(".checklist li:has-text('P-1')");
    await narrow(customer, "slip");
    await picture(customer, "slip");
    const code = await customer.locator("dt:text-is('Code') + dd").textContent();
    const operator = await logIn(browser, OPERATOR);
    await operator.click("nav >> text=Receive");
    for (const scanned of ["1z-PARCEL-9", "p-1", code, "parcel"]) {
        // A scanner types at once.
        await operator.waitForFunction(() => document.activeElement?.id === "code");
        await operator.keyboard.type(`${scanned}\n`);
        await operator.waitForURL((url) => url.searchParams.get("code") === scanned);
        await operator.waitForSelector("article:has-text('0 of 2 drives came') h2 a:text-is('parcel')");
    }
    await narrow(operator, "receive");
    await picture(operator, "receive");
    await operator.goto(`${SERVER}/portal/receive?code=P-1`);
    await operator.locator("li.scanned:has-text('P-1') >> text=Check it in").click();
    // It is in no bay: one tap is enough, and no other drive that waits in a bay is taken for it.
    await operator.waitForSelector("li.scanned:has-text('P-1') .badge.Received");
    await operator.click("text=Check in a drive");
    assert.strictEqual(await operator.inputValue("[name=bay]"), "", "no bay is guessed");
    assert.match(await operator.inputValue("[name=job]"), /jobs\/parcel$/);
    await narrow(operator, "check-in");
    await operator.goto(`${SERVER}/portal/receive?code=nobody-knows`);
    await operator.waitForSelector("[role=alert]:has-text('nobody-knows')");
    await narrow(operator, "receive-nothing");
    // What is in the hand finds the job, wherever it stands.
    for (const part of ["z-parcel", "p-1", "PARC"]) {
        await operator.goto(`${SERVER}/portal/jobs?search=${part}`);
        assert.deepStrictEqual(await operator.locator("th a").allTextContents(), ["parcel"], part);
    }
    await operator.goto(`${SERVER}/portal/jobs?search=one`);
    assert.ok((await operator.locator("th a").allTextContents()).includes("parcel"), "the customer finds it, too");
    await operator.click("nav >> text=About");
    await operator.waitForSelector("dt:text-is('budget.memory') + dd:has-text('8 MiB')");
    await narrow(operator, "about");
    await operator.click("text=Audit log");
    await operator.fill("[name=action]", "shipped");
    await operator.click("button:has-text('Search')");
    await operator.waitForSelector("td:has-text('shipped a job')");
    await narrow(operator, "audit");
    // A page that does not exist keeps the way to the others, and says nothing of the API.
    const nowhere = await operator.goto(`${SERVER}/portal/nowhere/at/all`);
    assert.strictEqual(nowhere.status(), 404);
    await operator.waitForSelector("nav >> text=Bays");
    await accessible(operator);
    assert.strictEqual((await customer.goto(`${SERVER}/portal/receive`)).status(), 403);
    await customer.waitForSelector("nav >> text=Jobs");
    assert.strictEqual((await customer.goto(`${SERVER}/portal/audit`)).status(), 403);
    await customer.goto(`${SERVER}/portal/about`);
    assert.strictEqual(await customer.locator("a:has-text('Tokens'), h2:has-text('Configuration')").count(), 0, "that is for operators");
    assert.strictEqual((await customer.goto(`${SERVER}/portal/tokens`)).status(), 403);
    for (const page of ["bays", "jobs", "new"]) {
        await operator.goto(`${SERVER}/portal/${page}`);
        await narrow(operator, page);
    }
    await operator.context().close();
    await customer.context().close();
}

// A job is looked over before it is created, and changed before it is shipped; by two at once, nobody's change is lost.
async function changing(browser) {
    const customer = await logIn(browser, ONE);
    const operator = await logIn(browser, OPERATOR);
    const key = Array(8).fill("111111").join("-");
    await customer.click("nav >> text=New job");
    await narrow(customer, "new-choice");
    await customer.click("a:text-is('Import')");
    await fill(customer, { jobName: "edited", subscription: "one", driveList: `ED-1 ${key}` });
    await customer.check("[name=backupDriveManifest]");
    await customer.click("text=Look it over");
    await customer.waitForSelector("dd:has-text('ED-1, with a BitLocker key')");
    assert.ok(!(await customer.locator("main").textContent()).includes("111111"), "the key is not shown");
    await narrow(customer, "review");
    await picture(customer, "review");
    await customer.click("text=Change something");
    assert.strictEqual(await customer.inputValue("[name=driveList]"), `ED-1 ${key}`);
    assert.ok(await customer.isChecked("[name=backupDriveManifest]"));
    await customer.click("text=Look it over");
    await customer.click("text=Create the job");
    await customer.waitForSelector(".measure:has-text('Print the packing slip')");
    assert.deepStrictEqual(await customer.locator(".to-come span:first-child").allTextContents(),
        ["Shipping", "Received", "Transferring", "Packaging", "Completed"]);
    const job = customer.url();
    const second = await customer.context().newPage();
    await second.goto(`${job}/edit`);
    await customer.click("a:text-is('Change')");
    assert.strictEqual(await customer.inputValue("[name=driveList]"), "ED-1", "the key is not shown again");
    await narrow(customer, "edit");
    await fill(customer, { driveList: "ED-1\nED-2\nED-2" });
    await customer.click("button:has-text('Save')");
    await customer.waitForSelector("#driveList-problem:has-text('there twice')");
    await fill(customer, { driveList: "ED-1\nED-2", logLevel: "Verbose" });
    await customer.click("button:has-text('Save')");
    await customer.waitForSelector("article h3:has-text('ED-2')");
    const listKeys = `${SERVER}${new URL(job).pathname.replace("/portal/job/one/default/",
        "/subscriptions/one/resourceGroups/default/providers/Microsoft.ImportExport/jobs/")}/listBitLockerKeys?api-version=2021-01-01`;
    const keys = await customer.request.post(listKeys, { headers: { authorization: `Bearer ${ONE}` } });
    assert.deepStrictEqual((await keys.json()).value, [{ driveId: "ED-1", bitLockerKey: key }], "the key stayed");
    await fill(second, { driveList: "ED-9" });
    await second.click("button:has-text('Save')");
    await second.waitForSelector("[role=alert]");
    assert.strictEqual(await second.inputValue("[name=driveList]"), "ED-9", "nothing typed is lost");
    await second.waitForSelector("#driveList-problem:has-text('now: ED-1, ED-2')");
    await second.waitForSelector("#logLevel-problem:has-text('now: Verbose')");
    await customer.reload();
    assert.strictEqual(await customer.locator("article h3").count(), 2, "the first change stays");
    await fill(second, { driveList: "ed-1\nED-2\nED-3" });
    await second.click("button:has-text('Save')");
    await second.waitForSelector("article h3:has-text('ED-3')");
    const still = await customer.request.post(listKeys, { headers: { authorization: `Bearer ${ONE}` } });
    assert.deepStrictEqual((await still.json()).value, [{ driveId: "ed-1", bitLockerKey: key }], "the same drive in other letters");
    for (const strange of ["jobs?state=a&state=b", "jobs?after=q", "events/jobs?after=q", "bays?view=a&view=b", "audit?after=x", "tokens/%ff/revoke"]) {
        const answer = await operator.goto(`${SERVER}/portal/${strange}`);
        assert.strictEqual(answer.status(), 400, strange);
        await operator.waitForSelector("nav >> text=Jobs");
    }
    await operator.context().close();
    await ship(customer);
    await customer.waitForSelector(".state .badge.Shipping");
    assert.strictEqual(await customer.locator("a:text-is('Change')").count(), 0);
    assert.strictEqual((await customer.goto(`${job}/edit`)).status(), 409);
    await customer.context().close();
}

// What staff look over: all bays as a table, the jobs in another order, the tokens.
async function overview(browser) {
    const operator = await logIn(browser, OPERATOR);
    await operator.click("a:text-is('Table')");
    await operator.waitForSelector("tr:has-text('bay-1') .badge");
    await operator.waitForSelector(".totals:has-text('bays')");
    await narrow(operator, "bays-table");
    await picture(operator, "bays-table");
    await operator.click("nav >> text=Jobs");
    await operator.click("a:text-is('by name')");
    const names = await operator.locator("th a").allTextContents();
    assert.deepStrictEqual(names, [...names].sort((one, other) => (one.toLowerCase() < other.toLowerCase() ? -1 : 1)));
    // The list follows while it is looked at, and what is typed stays.
    await operator.fill("#search", "typed");
    const customer = await logIn(browser, ONE);
    await create(customer, { jobName: "a-new-one", subscription: "one", driveList: "NEW-1" });
    await operator.waitForSelector("th a:text-is('a-new-one')");
    assert.strictEqual(await operator.inputValue("#search"), "typed");
    await operator.goto(`${SERVER}/portal/tokens/new`);
    await narrow(operator, "new-token");
    await fill(operator, { name: "third party", role: "operator", subscriptions: "one" });
    await operator.click("text=Make the token");
    await operator.waitForSelector("#subscriptions-problem");
    await fill(operator, { subscriptions: "" });
    await operator.click("text=Make the token");
    await operator.waitForSelector("#name-problem");
    await fill(operator, { name: "third", role: "customer", subscriptions: "one other" });
    await operator.click("text=Make the token");
    const secret = await operator.locator(".secret code").textContent();
    await narrow(operator, "token");
    const third = await logIn(browser, secret);
    await third.waitForSelector("text=a-new-one");
    await operator.goto(`${SERVER}/portal/tokens`);
    await operator.waitForSelector("tr:has-text('third'):has-text('one, other')");
    await narrow(operator, "tokens");
    assert.ok(!(await operator.content()).includes(secret), "it is shown once");
    await operator.click("[aria-label='Revoke the token of third']");
    await accessible(operator);
    await operator.click("text=Revoke it");
    await operator.waitForSelector("h1:text-is('Tokens')");
    assert.strictEqual(await operator.locator("tr:has-text('third')").count(), 0);
    await third.goto(`${SERVER}/portal/jobs`);
    assert.ok(third.url().endsWith("/portal/login"), "its session ended");
    for (const page of [third, customer, operator]) await page.context().close();
}

// With an organization's account.
async function organization(browser) {
    let roles = ["drive-agent.subscription.one"];
    const server = await identity.start(Number(IDENTITY_PORT), () => roles);
    const context = await browser.newContext();
    const page = await context.newPage();
    page.setDefaultTimeout(30000);
    await page.goto(`${SERVER}/portal/login`);
    await accessible(page);
    await page.click("text=Log in with your organization's account");
    const back = await page.getAttribute("#agree", "href");
    await page.click("#agree");
    await page.waitForURL(/portal\/jobs$/);
    assert.match(await page.textContent(".who"), /entra:kim-4711/);
    const cookies = await context.cookies();
    const session = cookies.find((cookie) => cookie.name === "drive-agent-session");
    assert.ok(session.httpOnly && session.sameSite === "Strict", JSON.stringify(cookies));
    // A code is good once, and a login is the browser's that began it.
    await page.goto(back);
    await page.waitForSelector("[role=alert]:has-text('log in again')");
    const stranger = await (await browser.newContext()).newPage();
    await page.goto(`${SERVER}/portal/login/entra`);
    await stranger.goto(await page.getAttribute("#agree", "href"));
    await stranger.waitForSelector("[role=alert]:has-text('log in again')");
    roles = ["something.else"];
    await page.goto(`${SERVER}/portal/login/entra`);
    await page.click("#agree");
    await page.waitForSelector("[role=alert]:has-text('no role')");
    await page.goto(`${SERVER}/portal/login/entra/done?error=access_denied&error_description=%3Cscript%3E`);
    await page.waitForSelector("[role=alert]:has-text('access_denied')");
    server.close();
    server.closeAllConnections();
    await page.goto(`${SERVER}/portal/login/entra`);
    await page.waitForSelector("[role=alert]:has-text('did not do its part')");
}

// Without scripts the page reloads by itself.
async function withoutScripts(browser) {
    const page = await logIn(browser, OPERATOR, { javaScriptEnabled: false });
    assert.match(await page.content(), /<noscript><meta http-equiv="refresh"/);
    await page.click("nav >> text=Jobs");
    await page.click("th a >> nth=0");
    await page.waitForSelector("h1");
    await page.click("text=Log out");
    await page.waitForURL(/login/);
}

async function others(browser, customer) {
    const other = await logIn(browser, OTHER);
    await create(other, { jobName: "secret", subscription: "other", driveList: "S-1" });
    await other.waitForSelector(".badge.Creating");
    const own = other.url();
    for (const address of [own, own.replace("/job/", "/events/job/"), `${own}/receipts.json`, `${own}/cancel`]) {
        const answer = await customer.goto(address);
        assert.strictEqual(answer.status(), 404, address);
        assert.ok(!(await customer.content()).includes("S-1"));
    }
    const bays = await customer.goto(`${SERVER}/portal/bays`);
    assert.strictEqual(bays.status(), 403);
    // A form of another site lacks the page's secret.
    const forged = await customer.request.post(`${own}/do/cancel`, { form: { csrf: "guess" }, maxRedirects: 0 });
    assert.strictEqual(forged.status(), 403);
    const cookies = await other.context().cookies();
    assert.ok(cookies[0].httpOnly && cookies[0].sameSite === "Strict", JSON.stringify(cookies));
    await other.click("text=Log out");
    await other.waitForURL(/login/);
    await other.goto(own);
    assert.ok(other.url().endsWith("/portal/login"), "a session that was ended is not valid");
}

async function scripts(browser) {
    const page = await logIn(browser, ONE);
    const evil = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"";
    await create(page, { jobType: "Export", jobName: evil, subscription: "one", resourceGroup: evil, blobPath: evil, blobPathPrefix: evil });
    assert.strictEqual(await page.inputValue("[name=blobPath]"), evil);
    await create(page, { jobName: evil, subscription: "one", resourceGroup: evil, driveList: evil });
    assert.strictEqual(await page.inputValue("[name=jobName]"), evil);
    await create(page, { jobName: "evil", subscription: "one", resourceGroup: evil, driveList: "E-1" });
    assert.strictEqual(await page.inputValue("[name=resourceGroup]"), evil);
    await create(page, { jobName: "evil", subscription: "one", resourceGroup: "group", driveList: "E-1" });
    await page.waitForSelector(".badge.Creating");
    const texts = Object.fromEntries(["carrierName", "trackingNumber", "recipientName", "streetAddress1", "postalCode", "city",
        "stateOrProvince", "countryOrRegion", "phone", "email"].map((name) => [name, evil]));
    await ship(page, texts);
    await page.waitForSelector(".badge.Shipping");
    assert.ok((await page.locator("main").textContent()).includes(evil), "it is text");
    await page.goto(`${SERVER}/portal/jobs`);
    await page.waitForSelector("text=evil");
    await page.fill("#search", "EVI");
    await page.click("text=Search");
    await page.waitForSelector("text=evil");
    await page.fill("#search", "%");
    await page.click("text=Search");
    await page.waitForSelector("text=No jobs here");
    await page.goto(`${SERVER}/portal/jobs?state=Shipping`);
    await page.waitForSelector("text=evil");
    await accessible(page);
    await picture(page, "jobs");
    assert.strictEqual(await page.locator("main img, main script").count(), 0);
    assert.deepStrictEqual(alerts, []);
}

async function restart(browser) {
    const page = await logIn(browser, OPERATOR);
    fs.writeFileSync(STOP, "");
    await page.waitForSelector("#offline:not([hidden])");
    fs.writeFileSync(OFFLINE, "");
    while (!fs.existsSync(RESTARTED)) await new Promise((resolve) => setTimeout(resolve, 50));
    await page.waitForFunction(() => document.getElementById("offline").hidden);
    await page.reload();
    await page.waitForSelector(".cards");
}

async function main() {
    const browser = await launch();
    const login = await (await browser.newContext()).newPage();
    await login.goto(`${SERVER}/portal/login`);
    await accessible(login);
    await picture(login, "login");
    await login.fill("#token", "wrong");
    await login.click("main button");
    await login.waitForSelector("[role=alert]");
    const customer = await wholeJob(browser);
    await others(browser, customer);
    await byHand(browser);
    await checkIn(browser);
    await receiving(browser);
    await scripts(browser);
    await changing(browser);
    await overview(browser);
    await withoutScripts(browser);
    await organization(browser);
    await restart(browser);
    await browser.close();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
