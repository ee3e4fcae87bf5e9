// An accounts service that others wrote, at the paths of Spotify's:
//   node accounts-peer.mjs oauth2-mock-server|oidc-provider FOLDER PORT REDIRECT
// FOLDER holds the package's node_modules. Prints `ready`, and a line for each answer of the token endpoint: its grant and status.
// Access tokens are about to expire from the start, so that each use of one needs a refresh.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [kind, folder, port, redirect] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(folder), "package.json"));
const told = (grant, status) => console.log(`${grant} ${status}`);

const kinds = {
  // Knows no client and no scope; gives out a code at once.
  async "oauth2-mock-server"() {
    const { OAuth2Server } = await load("oauth2-mock-server");
    const server = new OAuth2Server(undefined, undefined, {
      endpoints: { authorize: "/authorize", token: "/api/token" },
    });
    await server.issuer.keys.generate("RS256");
    server.service.on("beforeResponse", (response, request) => {
      const grant = request.body.grant_type;
      response.body.expires_in = 30;
      delete response.body.scope;
      // As Spotify does since July 2026.
      if (grant === "refresh_token") delete response.body.refresh_token;
      told(grant, response.statusCode);
    });
    await server.start(Number(port), "127.0.0.1");
  },

  // Certified: checks client, address, verifier and scopes, asks people, and exchanges refresh tokens.
  async "oidc-provider"() {
    const { Provider } = await load("oidc-provider");
    const scopes =
      "user-library-read user-library-modify user-follow-read user-follow-modify playlist-read-private " +
      "playlist-read-collaborative playlist-modify-private playlist-modify-public ugc-image-upload " +
      "user-read-recently-played user-top-read user-read-playback-position user-read-private";
    const provider = new Provider(`http://127.0.0.1:${port}`, {
      clients: [
        {
          client_id: "peer",
          token_endpoint_auth_method: "none",
          application_type: "native",
          grant_types: ["authorization_code", "refresh_token"],
          response_types: ["code"],
          redirect_uris: [redirect],
        },
      ],
      scopes: ["openid", ...scopes.split(" ")],
      pkce: { required: () => true },
      routes: { authorization: "/authorize", token: "/api/token" },
      issueRefreshToken: async () => true,
      rotateRefreshToken: true,
      ttl: { AccessToken: 30, AuthorizationCode: 60, RefreshToken: 3600, Grant: 3600, Interaction: 600, Session: 3600 },
    });
    provider.use(async (ctx, next) => {
      await next();
      if (ctx.path === "/api/token") told(ctx.oidc?.params?.grant_type ?? "unknown", ctx.status);
    });
    await new Promise((resolve) => provider.listen(Number(port), "127.0.0.1", resolve));
  },
};

// A package's main file, as module of either kind.
async function load(name) {
  const module = await import(pathToFileURL(require.resolve(name)));
  return { ...module, Provider: module.Provider ?? module.default };
}

await kinds[kind]();
console.log("ready");
