"""The readers, on small files of every layout written by hand and on the real ones."""

import zipfile
from pathlib import Path

import polars as pl
import pytest

from emberline.errors import DataError, EmberlineError
from emberline.etl.datasets import MovieLensMissingError, open_movielens

REAL = Path(__file__).parents[3] / "../shared/data"

RATINGS_CSV = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n7,1029,4.0,851866703\n"
MOVIES_CSV = (
    "movieId,title,genres\n"
    "31,Dangerous Minds (1995),Drama\n"
    '1029,"Misérables, Les (1995)",Drama|War\n'
    '7,"He Said ""Go"" (1999)",(no genres listed)\n'
)
TITLES = ["Dangerous Minds (1995)", "Misérables, Les (1995)", 'He Said "Go" (1999)']
SCHEMA = {
    "userId": pl.Int64(),
    "movieId": pl.Int64(),
    "rating": pl.Float32(),
    "timestamp": pl.Int64(),
}


def csv_folder(folder: Path, ratings: str = RATINGS_CSV, movies: str = MOVIES_CSV) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "ratings.csv").write_text(ratings, encoding="utf-8")
    (folder / "movies.csv").write_text(movies, encoding="utf-8")
    return folder


def dat_folder(folder: Path, encoding: str = "latin-1") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "ratings.dat").write_text("1::1193::5::978300760\n1::73::3.5::978302109\n")
    movies = (
        "73::Misérables, Les (1995)::Drama|Musical\n"
        "260::Star Wars: Episode IV (1977)::Action\n"
        '1193::A::"B"::C (1975)::Drama\n'
    )
    (folder / "movies.dat").write_bytes(movies.encode(encoding))
    return folder


def test_csv_layout(tmp_path: Path) -> None:
    data = open_movielens(csv_folder(tmp_path / "ml-tiny"))
    assert (data.name, data.layout) == ("ml-tiny", "csv")
    ratings = data.ratings.collect()
    assert dict(ratings.schema) == SCHEMA
    assert ratings.rows() == [(1, 31, 2.5, 1260759144), (7, 1029, 4.0, 851866703)]
    movies = data.movies.collect()
    assert movies["title"].to_list() == TITLES
    assert movies["genres"].to_list() == ["Drama", "Drama|War", "(no genres listed)"]
    assert movies["movieId"].dtype == pl.Int64


def test_csv_columns_in_another_order_and_more_of_them(tmp_path: Path) -> None:
    ratings = "x,timestamp,rating,movieId,userId\n?,5,0.5,31,2\n"
    data = open_movielens(csv_folder(tmp_path / "a", ratings))
    assert data.ratings.collect().rows() == [(2, 31, 0.5, 5)]


def test_csv_with_windows_line_ends(tmp_path: Path) -> None:
    data = open_movielens(csv_folder(tmp_path / "a", RATINGS_CSV.replace("\n", "\r\n")))
    assert data.ratings.collect()["timestamp"].to_list() == [1260759144, 851866703]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_dat_layout(tmp_path: Path, encoding: str) -> None:
    data = open_movielens(dat_folder(tmp_path / "ml-1m", encoding))
    assert data.layout == "dat"
    ratings = data.ratings.collect()
    assert dict(ratings.schema) == SCHEMA
    assert ratings.rows() == [(1, 1193, 5.0, 978300760), (1, 73, 3.5, 978302109)]
    assert data.movies.collect().rows() == [
        (73, "Misérables, Les (1995)", "Drama|Musical"),
        (260, "Star Wars: Episode IV (1977)", "Action"),
        (1193, 'A::"B"::C (1975)', "Drama"),
    ]


def test_parquet_layout_widens_types_and_is_preferred(tmp_path: Path) -> None:
    folder = csv_folder(tmp_path / "both")
    ratings = pl.DataFrame({"userId": [3], "movieId": [4], "rating": [5], "timestamp": [6]})
    ratings.cast(pl.Int16).write_parquet(folder / "ratings.parquet")
    movies = pl.DataFrame({"movieId": [4], "title": ["T"], "genres": ["War"], "year": [1990]})
    movies.write_parquet(folder / "movies.parquet")
    data = open_movielens(folder)
    assert data.layout == "parquet"
    assert dict(data.ratings.collect_schema()) == SCHEMA
    assert data.ratings.collect().rows() == [(3, 4, 5.0, 6)]
    assert data.movies.collect().rows() == [(4, "T", "War")]


def archive(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(f"{folder.name}/README.txt", "read me")
        for file in folder.iterdir():
            target.write(file, f"{folder.name}/{file.name}")
    return path


@pytest.mark.parametrize("layout", ["csv", "dat"])
def test_archive_gives_the_folders_rows(tmp_path: Path, layout: str) -> None:
    folder = (csv_folder if layout == "csv" else dat_folder)(tmp_path / "ml-x")
    packed = archive(tmp_path / "ml-y.zip", folder)
    data, expected = open_movielens(packed), open_movielens(folder)
    assert (data.name, data.layout) == ("ml-y", layout)
    assert data.ratings.collect().equals(expected.ratings.collect())
    assert data.movies.collect().equals(expected.movies.collect())
    assert not (tmp_path / "ml-y" / "README.txt").exists()


def test_archive_is_extracted_once_and_again_when_it_changes(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    packed = archive(tmp_path / "ml-y.zip", csv_folder(tmp_path / "ml-x"))
    open_movielens(packed, cache_dir=cache)
    first = (cache / "ml-y" / "ratings.csv").stat()
    open_movielens(packed, cache_dir=cache)
    assert (cache / "ml-y" / "ratings.csv").stat() == first
    changed = RATINGS_CSV.replace("2.5", "3.5")  # the same size
    packed = archive(packed, csv_folder(tmp_path / "ml-x", changed))
    data = open_movielens(packed, cache_dir=cache)
    assert data.ratings.collect()["rating"].to_list() == [3.5, 4.0]


def test_archive_unpacked_by_hand_is_used(tmp_path: Path) -> None:
    folder = csv_folder(tmp_path / "ml-y")
    packed = archive(tmp_path / "ml-y.zip", folder)
    before = sorted(p.name for p in folder.iterdir())
    assert open_movielens(packed).ratings.collect().height == 2
    assert sorted(p.name for p in folder.iterdir()) == before


def test_archive_beside_another_folder_of_its_name_is_refused(tmp_path: Path) -> None:
    packed = archive(tmp_path / "ml-y.zip", csv_folder(tmp_path / "ml-x"))
    (tmp_path / "ml-y").mkdir()
    (tmp_path / "ml-y" / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match=r"holds other files; remove it or give another cache_dir"):
        open_movielens(packed)
    assert (tmp_path / "ml-y" / "mine.txt").read_text() == "keep"


def test_damaged_archive(tmp_path: Path) -> None:
    packed = archive(tmp_path / "ml-y.zip", csv_folder(tmp_path / "ml-x", RATINGS_CSV * 1))
    with zipfile.ZipFile(packed) as opened:
        at = opened.getinfo("ml-x/ratings.csv").header_offset + 60
    data = bytearray(packed.read_bytes())
    data[at] ^= 0xFF
    packed.write_bytes(data)
    with pytest.raises(DataError, match=r"ml-y\.zip is damaged .*; download it again"):
        open_movielens(packed)
    assert not (tmp_path / "ml-y").exists()


def test_cut_archive(tmp_path: Path) -> None:
    packed = archive(tmp_path / "ml-y.zip", csv_folder(tmp_path / "ml-x"))
    packed.write_bytes(packed.read_bytes()[:100])
    with pytest.raises(DataError, match=r"ml-y\.zip is neither a folder nor a whole zip archive"):
        open_movielens(packed)


def test_archive_without_the_files(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    packed = archive(tmp_path / "x.zip", tmp_path / "other")
    with pytest.raises(
        MovieLensMissingError, match=r"looked for ratings\.parquet .* found other/REA"
    ):
        open_movielens(packed)


def test_missing_folder_and_missing_files_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; expected a folder with"):
        open_movielens(tmp_path / "nowhere")
    (tmp_path / "ratings.csv").write_text(RATINGS_CSV)
    expected = r"looked for .* or ratings\.csv \+ movies\.csv or .* found ratings\.csv"
    with pytest.raises(MovieLensMissingError, match=expected) as caught:
        open_movielens(tmp_path)
    assert isinstance(caught.value, EmberlineError)


BAD_RATINGS = {
    "missing column": (
        "userId,movieID,rating,timestamp\n1,2,3,4\n",
        r"ratings\.csv: column 'movieId' is missing; did you mean 'movieID'\?",
    ),
    "text in a number": (
        RATINGS_CSV + "9,31,good,5\n",
        r"ratings\.csv, row 3: column 'rating' holds 'good'; expected a number \(float32\)",
    ),
    "fraction in an id": (
        RATINGS_CSV + "9.5,31,4.0,5\n",
        r"ratings\.csv, row 3: column 'userId' holds '9\.5'; expected an integer \(int64\)",
    ),
    "missing value": (
        RATINGS_CSV + "9,,4.0,5\n",
        r"ratings\.csv, row 3: column 'movieId' is missing; expected an integer",
    ),
    "too many fields": (RATINGS_CSV + "9,31,4.0,5,6\n", r"ratings\.csv"),
    "no rows": ("userId,movieId,rating,timestamp\n", r"ratings\.csv has no rows"),
    "empty": ("", r"ratings\.csv is empty \(0 bytes\)"),
}


@pytest.mark.parametrize("case", BAD_RATINGS)
def test_bad_ratings_csv(tmp_path: Path, case: str) -> None:
    text, message = BAD_RATINGS[case]
    with pytest.raises(DataError, match=message):
        open_movielens(csv_folder(tmp_path / "a", text))


def test_a_bad_value_late_in_the_file_is_found_by_the_whole_check_only(tmp_path: Path) -> None:
    rows = "".join(f"{i},31,4.0,5\n" for i in range(1, 5001))
    folder = csv_folder(tmp_path / "a", "userId,movieId,rating,timestamp\n" + rows + "1,x,4.0,5\n")
    with pytest.raises(DataError, match=r"row 5001: column 'movieId' holds 'x'"):
        open_movielens(folder)
    assert open_movielens(folder, check=False).ratings.head(3).collect().height == 3


def test_movies_that_are_not_utf8(tmp_path: Path) -> None:
    folder = csv_folder(tmp_path / "a")
    (folder / "movies.csv").write_bytes(MOVIES_CSV.encode("latin-1"))
    with pytest.raises(DataError, match=r"movies\.csv: .*(?i:utf-?8)"):
        open_movielens(folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ratings.dat", "1::2::x::4\n", r"row 1: column 'rating' holds 'x'; expected a number"),
        ("ratings.dat", "1::2\n", r"line 1: '1::2'; expected userId::movieId::"),
        ("ratings.dat", "1::2::3::4\n5::6\n", r"row 2: column 'rating' is missing"),
        ("ratings.dat", "", r"ratings\.dat is empty"),
        (
            "movies.dat",
            "1::A::War\n2,B,War\n",
            r"movies\.dat, line 2: '2,B,War'; expected movieId::",
        ),
        ("movies.dat", "", r"movies\.dat is empty"),
    ],
)
def test_bad_dat(tmp_path: Path, name: str, text: str, message: str) -> None:
    folder = dat_folder(tmp_path / "a")
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        open_movielens(folder)


def test_bad_parquet(tmp_path: Path) -> None:
    folder = csv_folder(tmp_path / "a")
    pl.read_csv(folder / "movies.csv").write_parquet(folder / "movies.parquet")
    good = pl.read_csv(folder / "ratings.csv")
    good.with_columns(pl.col("userId").cast(pl.String)).write_parquet(folder / "ratings.parquet")
    with pytest.raises(DataError, match=r"ratings\.parquet: column 'userId' has dtype String"):
        open_movielens(folder)
    nulls = good.with_columns(pl.when(pl.col("userId") > 1).then("rating").alias("rating"))
    nulls.write_parquet(folder / "ratings.parquet")
    with pytest.raises(DataError, match=r"column 'rating' has 1 missing values; expected none"):
        open_movielens(folder)
    (folder / "ratings.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match=r"ratings\.parquet cannot be read"):
        open_movielens(folder)


def real(name: str) -> Path:
    if not (REAL / name).is_dir():
        pytest.skip(f"the data set {name} is not in ../shared/data")
    return REAL / name


def test_real_latest_small() -> None:
    data = open_movielens(real("ml-latest-small"))
    ratings, movies = data.ratings.collect(), data.movies.collect()
    assert (ratings.height, ratings["userId"].n_unique()) == (100_836, 610)
    assert (movies.height, movies["movieId"].n_unique()) == (9_742, 9_742)
    assert ratings.row(0) == (1, 1, 4.0, 964982703)
    assert movies.row(0) == (1, "Toy Story (1995)", "Adventure|Animation|Children|Comedy|Fantasy")
    assert ratings.join(movies, on="movieId", how="anti").height == 0


def test_real_latest_2023() -> None:
    data = open_movielens(real("ml-latest-2023"))
    ratings = data.ratings.collect()
    assert data.layout == "parquet"
    assert dict(ratings.schema) == SCHEMA
    assert (ratings.height, ratings["userId"].n_unique()) == (206_584, 2_149)
    assert data.movies.select(pl.len()).collect().item() == 86_537
