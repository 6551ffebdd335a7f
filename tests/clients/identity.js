// An OpenID provider for tests, strict about what a client must do: the code flow with PKCE, a state, a nonce, the
// client's secret, each code once.
"use strict";
const assert = require("node:assert");
const crypto = require("node:crypto");
const http = require("node:http");

const CLIENT = "portal-client";
const SECRET = "portal-secret";

function start(port, roles) {
    const issuer = `http://127.0.0.1:${port}/tenant/v2.0`;
    const { publicKey, privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
    const codes = new Map();
    const sign = (claims) => {
        const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
        const text = `${part({ alg: "RS256", kid: "k" })}.${part(claims)}`;
        return `${text}.${crypto.sign("sha256", Buffer.from(text), privateKey).toString("base64url")}`;
    };
    const routes = {
        "/tenant/v2.0/.well-known/openid-configuration": (url, body, reply) => reply(200, {
            issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/keys`,
        }),
        "/tenant/v2.0/keys": (url, body, reply) => reply(200, {
            keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", use: "sig", alg: "RS256" }],
        }),
        "/tenant/v2.0/authorize": (url, body, reply) => {
            const asked = Object.fromEntries(url.searchParams);
            assert.strictEqual(asked.client_id, CLIENT);
            assert.strictEqual(asked.response_type, "code");
            assert.strictEqual(asked.code_challenge_method, "S256");
            assert.ok(asked.scope.split(" ").includes("openid") && asked.state.length >= 32 && asked.nonce.length >= 32);
            const code = crypto.randomUUID();
            codes.set(code, asked);
            const back = new URL(asked.redirect_uri);
            back.search = new URLSearchParams({ code, state: asked.state });
            reply(200, `<!doctype html><title>Identity</title><a id="agree" href="${back.toString().replaceAll("&", "&amp;")}">I am Kim</a>`);
        },
        "/tenant/v2.0/token": (url, body, reply) => {
            const form = Object.fromEntries(new URLSearchParams(body));
            const asked = codes.get(form.code);
            codes.delete(form.code);
            const challenge = crypto.createHash("sha256").update(form.code_verifier ?? "").digest("base64url");
            const isGood = asked && form.client_id === CLIENT && form.client_secret === SECRET
                && form.grant_type === "authorization_code" && form.redirect_uri === asked.redirect_uri
                && challenge === asked.code_challenge;
            if (!isGood) return reply(400, { error: "invalid_grant" });
            const now = Math.floor(Date.now() / 1000);
            const claims = { iss: issuer, aud: CLIENT, sub: "kim", oid: "kim-4711", iat: now, nbf: now, exp: now + 600,
                nonce: asked.nonce, roles: roles() };
            reply(200, { token_type: "Bearer", id_token: sign(claims) });
        },
    };
    const server = http.createServer((request, response) => {
        const chunks = [];
        request.on("data", (chunk) => chunks.push(chunk));
        request.on("end", () => {
            const url = new URL(request.url, issuer);
            const reply = (status, answer) => {
                const isPage = typeof answer === "string";
                response.writeHead(status, { "content-type": isPage ? "text/html" : "application/json" });
                response.end(isPage ? answer : JSON.stringify(answer));
            };
            const route = routes[url.pathname];
            if (route) route(url, Buffer.concat(chunks).toString(), reply);
            else reply(404, {});
        });
    });
    return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

module.exports = { start };
