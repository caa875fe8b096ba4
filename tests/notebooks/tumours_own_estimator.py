# %% A model of scikit-learn's that Pilotage has no name for
from sklearn.datasets import load_breast_cancer
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.metrics import make_scorer, matthews_corrcoef
from sklearn.model_selection import RandomizedSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# %%
bunch = load_breast_cancer(as_frame=True)
X, y = bunch.data, bunch.target
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=5, stratify=y)

# %%
BEST = 12
pipe = make_pipeline(StandardScaler(), SelectKBest(f_classif, k=BEST), KNeighborsClassifier(n_neighbors=7))
search = RandomizedSearchCV(pipe, {"kneighborsclassifier__n_neighbors": [3, 5, 9, 15]}, n_iter=3, random_state=5)
search.fit(X_train, y_train)

# %%
print(matthews_corrcoef(y_test, search.predict(X_test)))
