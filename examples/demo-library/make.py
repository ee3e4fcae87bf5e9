#!/usr/bin/env python3
"""Makes the demo library: short tones with the tags, names and pictures that real collections have.

Needs ffmpeg (with libmp3lame, libvorbis and libopus) and mutagen. Writes into its own folder and replaces what is
there; the same versions of both tools make the same bytes. Everything made is CC0.
"""

import base64
import math
import shutil
import struct
import subprocess
import uuid
from pathlib import Path

from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, ID3, TALB, TCMP, TCON, TDRC, TIT2, TPE1, TPE2, TPOS, TRCK, TSRC, TXXX, UFID
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

HERE = Path(__file__).parent
RATE = 24_000
CODECS = {
    "flac": ["-c:a", "flac", "-compression_level", "12"],
    "mp3": ["-c:a", "libmp3lame", "-b:a", "48k", "-write_xing", "1"],
    "ogg": ["-c:a", "libvorbis", "-q:a", "2"],
    "opus": ["-c:a", "libopus", "-b:a", "32k"],
    "m4a": ["-c:a", "aac", "-b:a", "48k"],
}

GREEK = "Ελένη Ταλάντωση"
JAPANESE = "波形楽団"
OTHERS = ["Björk-Åse Sägezahn", "AC/Ohm"]

# Folder, tags of the album, picture (folder: beside the files, embedded: in each of them), and its tracks:
# disc, number, title, artists, format, semitones of the melody, and whether it has a recording id and an ISRC.
ALBUMS = [
    {
        "folder": "Ελένη Ταλάντωση/Κύματα",
        "tags": {"album": "Κύματα", "albumartist": GREEK, "date": "2024-03-21", "genre": "Electronic"},
        "picture": "folder",
        "colour": (3, 5, 7),
        "tracks": [
            (1, 1, "Αυγή", [GREEK], "flac", [0, 4, 7, 12], True),
            (1, 2, "Μεσημέρι στη θάλασσα", [GREEK], "flac", [12, 7, 4, 0], True),
            (1, 3, "Νύχτα", [GREEK, JAPANESE], "ogg", [0, 3, 7, 10, 12], False),
        ],
    },
    {
        "folder": "波形楽団/正弦波の夜",
        "tags": {"album": "正弦波の夜", "albumartist": JAPANESE, "date": "2025", "genre": "Ambient"},
        "picture": "embedded",
        "colour": (7, 2, 4),
        "tracks": [
            (1, 1, "夜明け前", [JAPANESE], "m4a", [5, 9, 12, 9], True),
            (1, 2, "🌊 Sweep 🌊", [JAPANESE], "opus", list(range(0, 13)), True),
            (2, 1, "雨のフーリエ変換", [JAPANESE], "mp3", [0, 7, 2, 9, 4], True),
            (2, 2, "おやすみ", [JAPANESE], "m4a", [12, 9, 5, 0], False),
        ],
    },
    {
        "folder": "Various Artists/Test Tones, Volume 1",
        "tags": {
            "album": "Test Tones, Volume 1",
            "albumartist": "Various Artists",
            "date": "1999-12-31",
            "genre": "Experimental",
        },
        "picture": "embedded",
        "compilation": True,
        "colour": (2, 6, 3),
        "tracks": [
            (1, 1, "Sawtooth Serenade", [OTHERS[0]], "mp3", [0, 2, 4, 5, 7], False),
            (1, 2, "Duet for Two Oscillators", [GREEK, JAPANESE], "mp3", [0, 12, 0, 12], True),
            (1, 3, "Resistance Is Useful", [OTHERS[1]], "opus", [7, 7, 7, 3], False),
        ],
    },
]
PLAYLIST = "Playlists/Early to late.m3u8"
PLAYLIST_TITLES = ["Αυγή", "Duet for Two Oscillators", "🌊 Sweep 🌊", "Νύχτα", "おやすみ", "Αυγή"]
# What ID3 and MP4 call these tags.
MUSICBRAINZ = {
    "musicbrainz_albumid": "MusicBrainz Album Id",
    "musicbrainz_albumartistid": "MusicBrainz Album Artist Id",
    "musicbrainz_artistid": "MusicBrainz Artist Id",
}


def melody(semitones):
    """16-bit mono samples: one soft note per semitone, 2.4 s in all."""
    samples, length = bytearray(), int(2.4 * RATE / len(semitones))
    for semitone in semitones:
        step = 2 * math.pi * 220 * 2 ** (semitone / 12) / RATE
        for i in range(length):
            envelope = min(1, i / 300, (length - i) / 300)
            samples += struct.pack("<h", int(9000 * envelope * math.sin(step * i)))
    return bytes(samples)


def ffmpeg(*args, stdin=None):
    command = ["ffmpeg", "-v", "error", "-y", *args]
    return subprocess.run(command, input=stdin, check=True, capture_output=stdin is None).stdout


def encode(path, semitones):
    source = ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "-"]
    exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    ffmpeg(*source, *CODECS[path.suffix[1:]], *exact, str(path), stdin=melody(semitones))


def picture(path, colour):
    """An interference pattern, 240 x 240."""
    wave = "128+127*sin(hypot(X-{x},Y-{y})/{c})"
    r, g, b = (wave.format(x=60 * i, y=200 - 60 * i, c=c + 4) for i, c in enumerate(colour))
    graph = f"nullsrc=s=240x240:d=1,format=gbrp,geq=r='{r}':g='{g}':b='{b}',boxblur=1"
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact"]
    ffmpeg("-f", "lavfi", "-i", graph, "-frames:v", "1", "-q:v", "9", *exact, str(path))


def mbid(*name):
    """A MusicBrainz-like id that is always the same and that MusicBrainz does not have."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "demo-library/" + "/".join(name)))


def tags_of(album, track, number):
    """Vorbis comment names, which the other formats are mapped from."""
    disc, position, title, artists, _, _, identified = track
    tags = {
        "title": [title],
        "artist": artists,
        **{name: [value] for name, value in album["tags"].items()},
        "discnumber": [str(disc)],
        "disctotal": [str(max(t[0] for t in album["tracks"]))],
        "tracknumber": [str(position)],
        "tracktotal": [str(sum(t[0] == disc for t in album["tracks"]))],
        "replaygain_track_gain": [f"{-3 - number / 4:.2f} dB"],
        "replaygain_track_peak": ["0.274658"],
        "replaygain_album_gain": ["-4.00 dB"],
        "replaygain_album_peak": ["0.274658"],
    }
    if album.get("compilation"):
        tags["compilation"] = ["1"]
    # Ids of albums and artists stand on all of their tracks, or one album would look like two.
    if not album.get("compilation"):
        tags["musicbrainz_albumid"] = [mbid("release", album["folder"])]
        tags["musicbrainz_albumartistid"] = [mbid("artist", album["tags"]["albumartist"])]
    if not set(artists) & set(OTHERS):
        tags["musicbrainz_artistid"] = [mbid("artist", artist) for artist in artists]
    if identified:
        tags["isrc"] = [f"XXZTF26{number:05}"]
        tags["musicbrainz_trackid"] = [mbid("recording", title)]
    return tags


def write_vorbis(file, tags, image):
    for name, values in tags.items():
        file[name] = values
    if image:
        art = Picture()
        art.type, art.mime, art.data, art.width, art.height, art.depth = 3, "image/jpeg", image, 240, 240, 24
        if isinstance(file, FLAC):
            file.add_picture(art)
        else:
            file["metadata_block_picture"] = [base64.b64encode(art.write()).decode()]
    file.save()


def write_opus(path, tags, image):
    # Opus has its own gain tags: 1/256 dB against -23 LUFS, where ReplayGain means -18.
    gain = float(tags["replaygain_track_gain"][0].split()[0])
    tags = {name: values for name, values in tags.items() if not name.startswith("replaygain")}
    tags["r128_track_gain"] = [str(round((gain - 5) * 256))]
    write_vorbis(OggOpus(path), tags, image)


def write_mp3(path, tags, image):
    file = ID3()
    frames = {
        "title": TIT2,
        "artist": TPE1,
        "album": TALB,
        "albumartist": TPE2,
        "date": TDRC,
        "genre": TCON,
        "isrc": TSRC,
        "compilation": TCMP,
    }
    named = {
        **MUSICBRAINZ,
        **{name: name.upper() for name in tags if name.startswith("replaygain")},
    }
    for name, values in tags.items():
        if name in frames:
            file.add(frames[name](encoding=3, text=values))
        elif name in named:
            file.add(TXXX(encoding=3, desc=named[name], text=values))
    file.add(TRCK(encoding=3, text=f"{tags['tracknumber'][0]}/{tags['tracktotal'][0]}"))
    file.add(TPOS(encoding=3, text=f"{tags['discnumber'][0]}/{tags['disctotal'][0]}"))
    if len(tags["artist"]) > 1:
        file.add(TXXX(encoding=3, desc="ARTISTS", text=tags["artist"]))
    if "musicbrainz_trackid" in tags:
        # ID3 has a frame of its own for this one.
        file.add(UFID(owner="http://musicbrainz.org", data=tags["musicbrainz_trackid"][0].encode()))
    if image:
        file.add(APIC(encoding=0, mime="image/jpeg", type=3, desc="", data=image))
    file.save(path, v2_version=4)


def write_m4a(path, tags, image):
    file = MP4(path)
    atoms = {"title": "©nam", "artist": "©ART", "album": "©alb", "albumartist": "aART", "date": "©day", "genre": "©gen"}
    named = {
        "isrc": "ISRC",
        "musicbrainz_trackid": "MusicBrainz Track Id",
        **MUSICBRAINZ,
        **{name: name for name in tags if name.startswith("replaygain")},
    }
    for name, values in tags.items():
        if name in atoms:
            file[atoms[name]] = values
        elif name in named:
            file["----:com.apple.iTunes:" + named[name]] = [MP4FreeForm(value.encode()) for value in values]
    file["trkn"] = [(int(tags["tracknumber"][0]), int(tags["tracktotal"][0]))]
    file["disk"] = [(int(tags["discnumber"][0]), int(tags["disctotal"][0]))]
    if image:
        file["covr"] = [MP4Cover(image, MP4Cover.FORMAT_JPEG)]
    file.save()


WRITERS = {
    "flac": lambda path, tags, image: write_vorbis(FLAC(path), tags, image),
    "ogg": lambda path, tags, image: write_vorbis(OggVorbis(path), tags, image),
    "opus": write_opus,
    "mp3": write_mp3,
    "m4a": write_m4a,
}


def make_album(album, numbers):
    folder = HERE / album["folder"]
    folder.mkdir(parents=True)
    cover = folder / "cover.jpg"
    picture(cover, album["colour"])
    image = cover.read_bytes() if album["picture"] == "embedded" else None
    if image:
        cover.unlink()
    discs = {track[0] for track in album["tracks"]}
    made = {}
    for track in album["tracks"]:
        disc, position, title, _, suffix, semitones, _ = track
        path = folder / (f"CD{disc}" if len(discs) > 1 else "") / f"{position:02} - {title}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        encode(path, semitones)
        WRITERS[suffix](path, tags_of(album, track, next(numbers)), image)
        made[title] = (path, track)
    return made


def make_playlist(made):
    path = HERE / PLAYLIST
    path.parent.mkdir(parents=True)
    lines = ["#EXTM3U", f"#PLAYLIST:{path.stem}"]
    for title in PLAYLIST_TITLES:
        file, track = made[title]
        lines += [f"#EXTINF:2,{track[3][0]} - {title}", "../" + file.relative_to(HERE).as_posix()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    for folder in {album["folder"].split("/")[0] for album in ALBUMS} | {"Playlists"}:
        shutil.rmtree(HERE / folder, ignore_errors=True)
    numbers, made = iter(range(1, 100)), {}
    for album in ALBUMS:
        made |= make_album(album, numbers)
    make_playlist(made)
    print(f"{len(made)} tracks in {HERE}")


if __name__ == "__main__":
    main()
